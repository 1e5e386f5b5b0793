"""A local server that speaks S3, and buckets on it."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3
import pytest
import s3fs
from botocore.exceptions import BotoCoreError
from moto.server import ThreadedMotoServer


class Bucket:
    """A bucket of the server; `environment` is what s3fs needs to find it."""

    def __init__(self, name: str, environment: dict[str, str]) -> None:
        self.name, self.environment = name, environment
        self.client = boto3.client("s3")
        self.client.create_bucket(Bucket=name)

    def put(self, key: str, data: bytes) -> None:
        self.client.put_object(Bucket=self.name, Key=key, Body=data)

    def remove(self, key: str) -> None:
        self.client.delete_object(Bucket=self.name, Key=key)

    def upload(self, folder: Path, prefix: str) -> None:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                self.put(f"{prefix}/{path.relative_to(folder).as_posix()}", path.read_bytes())


@contextmanager
def serving(name: str) -> Iterator[Bucket]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    environment = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }
    with pytest.MonkeyPatch.context() as patch:
        for key, value in environment.items():
            patch.setenv(key, value)
        bucket = Bucket(name, environment)
        wait_until_reached(name)
        yield bucket
        s3fs.S3FileSystem.clear_instance_cache()
    server.stop()


def wait_until_reached(name: str) -> None:
    """Until s3fs lists the bucket: beside other tests, its first connection may be refused."""
    for last in (False,) * 20 + (True,):
        # s3fs keeps what it once made, with the address of the server of that time.
        s3fs.S3FileSystem.clear_instance_cache()
        try:
            s3fs.S3FileSystem().ls(name)
            return
        except (OSError, BotoCoreError):
            if last:
                raise
            time.sleep(0.5)
