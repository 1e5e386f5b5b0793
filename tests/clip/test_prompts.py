import subprocess
import sys

import pytest

from maskquery.clip import encoder, prompts
from maskquery.core.errors import UserError


@pytest.mark.parametrize("template", ["{}", "a photo of {}"])
@pytest.mark.parametrize("words", [60, 71, 72, 73, 74, 75, 76, 90])
def test_what_is_too_long_is_what_the_encoder_refuses(words: int, template: str) -> None:
    prompt = " ".join(["chair"] * words)
    try:
        encoder.tokens([template.replace("{}", prompt)])
    except UserError:
        with pytest.raises(
            UserError, match=r"^classes\.chair: the prompt 'chair chair .*\.\.\.' has"
        ):
            prompts.expect_short("tiny", [prompt], [template], "classes.chair")
    else:
        prompts.expect_short("tiny", [prompt], [template])


def test_no_model_is_loaded_for_it() -> None:
    code = (
        "import sys; from maskquery.clip import prompts; "
        "prompts.expect_short('tiny', ['a chair'], ['{}']); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_negation_is_told() -> None:
    assert prompts.warning(["a chair", "a knot", "notes"]) == ""
    line = prompts.warning(["not a chair", "a room without lamps"])
    assert line.startswith("CLIP reads no negation: 'not a chair' and 1 more scores highest what")
