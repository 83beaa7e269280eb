"""XMem: its three memories, and its published weights by their names."""

import dataclasses

import pytest
import torch
from torch import Tensor
from torchvision.models import resnet18, resnet50

from tests.methods.built import built
from tests.methods.stma_cases import frames, stream, two_objects, with_late
from vosbench.errors import ConfigError
from vosbench.inference.session import Session
from vosbench.layers.memory_bank import MemoryBank
from vosbench.methods.method import Method
from vosbench.methods.xmem.memory import MemoryOptions, XMemMemory, of_some_frames, prototypes
from vosbench.methods.xmem.official import converted, recognised
from vosbench.methods.xmem.sensory import DecoderUpdate, GatedUpdate

AT_RANDOM = ("method.key_trunk.pretrained=false", "method.value_trunk.pretrained=false")
LENGTH = 4  # elements of a frame in the tests of working memory


def xmem(*changes: str) -> Method:
    """The tiny form with dotted changes below `method`."""
    return built("xmem", *[f"method.{change}" for change in changes]).eval()


def options(**changes: float) -> MemoryOptions:
    standard = {"every": 5, "top_k": 20, "max_frames": 5, "min_frames": 3, "prototypes": 3, "max_long_term": 7}
    return MemoryOptions(**{**standard, "training_frames": 3, "deep_probability": 0.2, **changes})  # type: ignore[arg-type]


def frame(write_no: int, *, protected: bool = False, seed: int = 0) -> MemoryBank:
    """A frame of two objects with keys and values of its own."""
    generator = torch.Generator().manual_seed(100 * seed + write_no)
    key, value = torch.randn(1, 3, LENGTH, generator=generator), torch.randn(1, 2, 5, LENGTH, generator=generator)
    shrinkage = 1 + torch.rand(1, 1, LENGTH, generator=generator)
    return MemoryBank.written(key, shrinkage, value, write_no=write_no, protected=protected)


def memory_of(kinds: str, born: tuple[int, int] = (0, 0)) -> XMemMemory:
    """Working memory with a frame for each letter: P prompted, o ordinary; element i of frame f has been used 10 f + i times."""
    size = (2 * LENGTH * 8, 32)
    memory = XMemMemory(
        objects=2,
        size=size,
        sensory=torch.zeros(1, 2, 1, 1, LENGTH),
        born=[list(born)],
        registered=torch.ones(1, 2, dtype=torch.bool),
        pairs=torch.tensor([[0, 0], [0, 1]]),
    )
    for number, kind in enumerate(kinds):
        new = frame(number, protected=kind == "P")
        used = (10 * number + torch.arange(LENGTH).float())[None]
        new = dataclasses.replace(new, use=used, life=torch.ones_like(used))
        memory = memory.written(new, torch.rand(1, 3, LENGTH, generator=torch.Generator().manual_seed(number)), number)
    return memory


def writes(bank: MemoryBank) -> list[int]:
    return bank.write_no[0].tolist()


def test_a_gate_forgets_and_updates():
    gate = GatedUpdate(1, 1)
    with torch.no_grad():
        gate.transform.weight.zero_()
        gate.transform.bias.copy_(torch.tensor([2.0, -1.0, 0.5]))
    found = gate(torch.ones(1, 1, 2, 2), torch.full((1, 1, 2, 2), 3.0))
    forget, update, candidate = torch.tensor(2.0).sigmoid(), torch.tensor(-1.0).sigmoid(), torch.tensor(0.5).tanh()
    torch.testing.assert_close(found, (forget * 3 * (1 - update) + update * candidate).expand(1, 1, 2, 2))


def test_the_decoders_update_sees_every_stride_and_the_logits():
    update = DecoderUpdate((2, 3, 4), 5, 6)
    maps = [torch.randn(1, 2, 2, 2), torch.randn(1, 3, 4, 4), torch.randn(1, 4, 8, 8), torch.randn(1, 1, 8, 8)]
    inputs = [map.requires_grad_() for map in maps]
    update(*inputs, torch.zeros(1, 6, 2, 2)).sum().backward()
    assert all(bool(map.grad.abs().gt(0).all()) for map in inputs)


def test_a_stored_frame_renews_the_sensory_memory_from_its_values_and_any_other_from_the_decoder():
    def sensory_after(count: int, touched: str | None) -> Tensor:
        method = xmem("memory.every=2")
        if touched is not None:
            with torch.no_grad():
                method.get_submodule(touched).transform.weight.add_(0.1)
        return stream(method, frames(count), two_objects(), 2)[1][-1].sensory

    by_value, by_decoder = "reinforce", "decoder.update.gates"
    # Frame 0 is prompted and stored, frame 1 is not, frame 2 is again, and reads what frame 1 left.
    assert torch.equal(sensory_after(1, None), sensory_after(1, by_decoder))
    assert not torch.equal(sensory_after(1, None), sensory_after(1, by_value))
    assert not torch.equal(sensory_after(2, None), sensory_after(2, by_decoder))
    every = [xmem("memory.every=1") for _ in range(2)]
    with torch.no_grad():
        every[1].get_submodule(by_decoder).transform.weight.add_(0.1)
    one, other = (stream(method, frames(3), two_objects(), 2)[1][-1].sensory for method in every)
    assert torch.equal(one, other)


def test_prompted_and_newest_frames_stay_in_working_memory():
    assert memory_of("Pooo").consolidated(options(), LENGTH).long_term is None
    after = memory_of("PooPoo").consolidated(options(), LENGTH)
    working, long_term = after.banks[-1], after.banks[0]
    assert writes(working) == [0] * LENGTH + [3] * LENGTH + [4] * LENGTH + [5] * LENGTH
    assert after.selection is not None
    assert after.selection.shape[2] == working.size
    # The most used of frames 1 and 2 are those of frame 2 from the back.
    assert writes(long_term) == [2, 2, 2]
    assert torch.equal(long_term.key, frame(2).key[:, :, [3, 2, 1]])
    assert long_term.use.eq(0).all()


def test_a_prototype_reads_the_candidates_as_a_query_would():
    memory = memory_of("oo")
    candidates = memory.banks[-1]
    assert memory.selection is not None
    found = prototypes(candidates, memory.selection, memory.born, 2)
    for number, place in enumerate([7, 6]):  # the most used
        key, e = candidates.key[0], memory.selection[0, :, place]
        distance = (e[:, None] * (key - key[:, [place]]).square()).sum(0)
        weight = (-candidates.shrinkage[0, 0] * distance / 3**0.5).softmax(0)
        torch.testing.assert_close(found.value[0, :, :, number], candidates.value[0] @ weight, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(found.shrinkage[0, 0, number], candidates.shrinkage[0, 0] @ weight, rtol=1e-4, atol=1e-5)


def test_a_late_objects_prototypes_know_its_own_frames_only():
    memory = memory_of("oo", born=(0, 1))
    assert memory.selection is not None
    candidates, late = memory.banks[-1], memory_of("oo").banks[-1]
    other = dataclasses.replace(candidates, value=torch.cat([candidates.value[..., :LENGTH] + 9, late.value[..., LENGTH:]], 3))
    one, two = (prototypes(bank, memory.selection, memory.born, 2).value for bank in (candidates, other))
    torch.testing.assert_close(one[:, 1], two[:, 1])  # frame 0 is from before it
    assert not torch.allclose(one[:, 0], two[:, 0])


def test_of_full_long_term_memory_the_least_used_elements_go():
    after = memory_of("Poooo").consolidated(options(), LENGTH)
    for number in (5, 6):
        after = after.written(frame(number), torch.rand(1, 3, LENGTH), number)
    after = after.consolidated(options(), LENGTH)
    assert after.banks[0].size == 6
    use = torch.zeros(1, after.bank().size)
    use[0, :6] = torch.tensor([0.5, 0.1, 0.4, 0.2, 0.0, 0.3])
    after = after.used(use)
    kept = after.banks[0].key[:, :, [0, 2, 3, 5]]
    for number in (7, 8):
        after = after.written(frame(number), torch.rand(1, 3, LENGTH), number)
    after = after.consolidated(options(), LENGTH)
    assert after.banks[0].size == 7
    assert torch.equal(after.banks[0].key[:, :, :4], kept)


def test_long_term_memory_is_made_and_bounded_in_a_stream():
    method = xmem("memory.every=1", "memory.prototypes=4", "memory.max_long_term=10")
    session, sizes = Session(method), []
    for t, image in enumerate(frames(30)):
        session.step(image.permute(1, 2, 0).numpy(), {1: two_objects()[0][0].numpy() > 0.5} if t == 0 else None)
        memory = session.memory
        sizes.append((0 if memory.long_term is None else memory.long_term["key"].shape[2], memory.working["key"].shape[2]))
    length = memory.sensory[0, 0, 0].numel()
    assert max(size for size, _ in sizes) == 10
    assert {size // length for _, size in sizes[5:]} == {3, 4}


def test_a_training_frame_reads_the_prompted_frames_and_some_others():
    bank = frame(0, protected=True)
    for number in range(1, 6):
        bank = bank.joined(frame(number))
    drawn = [sorted({*writes(of_some_frames(bank, 3, LENGTH))}) for _ in range(30)]
    assert all(len(numbers) == 3 and numbers[0] == 0 for numbers in drawn)
    assert {number for numbers in drawn for number in numbers} == set(range(6))
    assert of_some_frames(bank, 6, LENGTH) is bank
    # An object that is prompted late has something to read whatever is drawn.
    late = bank.joined(frame(6, protected=True)).joined(frame(7))
    assert all({0, 6} <= {*writes(of_some_frames(late, 3, LENGTH))} for _ in range(10))


def test_a_late_object_does_not_read_what_is_older():
    def disturbed(memory: XMemMemory, t: int, older: bool) -> XMemMemory:
        if t != 5:
            return memory
        assert memory.working is not None
        bank = MemoryBank(**memory.working)
        value = bank.value.clone()
        value[:, 2] += 5.0 * ((bank.write_no < memory.born[0][2]) == older)[:, None]
        return dataclasses.replace(memory, working={**memory.working, "value": value})

    method = xmem("memory.every=2")
    changes = (None, lambda memory, t: disturbed(memory, t, older=True), lambda memory, t: disturbed(memory, t, older=False))
    straight, older, own = (stream(method, frames(6), with_late(), 3, change)[0][-1] for change in changes)
    assert torch.equal(straight, older)
    assert not torch.equal(straight, own)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"max_frames": 3}, "method.memory.max_frames=3: must be above method.memory.min_frames=3"),
        ({"min_frames": 1}, "method.memory.min_frames=1"),
        ({"max_long_term": 2}, "method.memory.max_long_term=2: must be at least method.memory.prototypes=3"),
        ({"deep_probability": 1.5}, "method.memory.deep_probability=1.5"),
    ],
)
def test_a_memory_that_cannot_be_is_refused(changes, sentence):
    with pytest.raises(ConfigError, match=sentence):
        options(**changes)


def public_shapes(planes: int = 2) -> dict[str, tuple[int, ...]]:
    """Keys and shapes of the public weights: torchvision's networks under their names, and the parts between them."""
    shapes: dict[str, tuple[int, ...]] = {}
    for prefix, network, first in (("key_encoder", resnet50(), "res2"), ("value_encoder", resnet18(), "layer1")):
        for key, tensor in network.state_dict().items():
            if not key.startswith(("layer4", "fc")):
                shapes[f"{prefix}.{key.replace('layer1', first)}"] = tuple(tensor.shape)
    shapes["value_encoder.conv1.weight"] = (64, 3 + planes, 7, 7)

    def conv(name: str, out: int, channels: int, side: int = 3) -> None:
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = (out, channels, side, side), (out,)

    def block(name: str, channels: int, out: int) -> None:
        conv(f"{name}.conv1", out, channels)
        conv(f"{name}.conv2", out, out)
        if channels != out:
            conv(f"{name}.downsample", out, channels)

    def fuser(name: str, channels: int) -> None:
        block(f"{name}.block1", channels, 512)
        block(f"{name}.block2", 512, 512)
        for layer, shape in ((1, (32, 512)), (3, (512, 32))):
            shapes[f"{name}.attention.ChannelGate.mlp.{layer}.weight"] = shape
            shapes[f"{name}.attention.ChannelGate.mlp.{layer}.bias"] = shape[:1]
        conv(f"{name}.attention.SpatialGate.spatial.conv", 1, 2, 7)

    for name, out in (("key_proj", 64), ("d_proj", 1), ("e_proj", 64)):
        conv(f"key_proj.{name}", out, 1024)
    fuser("value_encoder.fuser", 1024 + 256)
    conv("value_encoder.hidden_reinforce.transform", 192, 512 + 64)
    fuser("decoder.fuser", 1024 + 512 + 64)
    for name, channels in (("g16", 512), ("g8", 256), ("g4", 257)):
        conv(f"decoder.hidden_update.{name}_conv", 256, channels, 1)
    conv("decoder.hidden_update.transform", 192, 256 + 64)
    for name, skip, up in (("up_16_8", 512, 512), ("up_8_4", 256, 256)):
        conv(f"decoder.{name}.skip_conv", up, skip)
        block(f"decoder.{name}.out_conv", up, 256)
    conv("decoder.pred", 1, 256)
    return shapes


def test_every_key_of_the_public_weights_has_its_place():
    with torch.device("meta"):
        method = built("xmem", "size=paper", *AT_RANDOM)
    shapes = public_shapes()
    result = converted({key: torch.zeros(shape, device="meta") for key, shape in shapes.items()})
    assert {key: tensor.shape for key, tensor in result.weights.items()} == {k: t.shape for k, t in method.state_dict().items()}
    assert (result.unplaced, result.ignored) == ([], {})
    assert sum(parameter.numel() for parameter in method.parameters()) == 62185224
    found = recognised(shapes)
    assert found is not None
    assert (found.name, found.words) == ("XMem", "+method=xmem size=paper")


def test_the_frames_channels_come_last_in_what_fuses_two_maps():
    state = {"key_proj.key_proj.weight": torch.zeros(1, 2, 3, 3)}
    name = "decoder.fuser.block1.conv1.weight"
    weight = torch.arange(5.0).view(1, 5, 1, 1).expand(1, 5, 3, 3)
    result = converted({**state, name: weight})
    assert result.weights["decoder.fuser.block1.conv1.weight"][0, :, 0, 0].tolist() == [2, 3, 4, 0, 1]


def test_weights_of_the_stage_for_still_images_know_of_no_other_objects():
    found = recognised(public_shapes(planes=1))
    assert found is not None
    assert found.name == "XMem (stage 0, still images)"
    first = converted({"value_encoder.conv1.weight": torch.ones(1, 4, 1, 1)}).weights["value_encoder.trunk.net.conv1.weight"]
    assert first[0, :, 0, 0].tolist() == [1, 1, 1, 1, 0]


def test_weights_of_other_networks_are_not_recognised():
    assert recognised({}) is None
    stcn = {key: shape for key, shape in public_shapes().items() if "hidden" not in key and "d_proj" not in key}
    assert recognised(stcn) is None
    assert converted({"decoder.extra.weight": torch.zeros(1)}).unplaced == ["decoder.extra.weight"]


def test_objects_may_be_worked_through_one_by_one():
    prompts = two_objects()
    together, apart = (stream(xmem(f"objects_per_pass={count}"), frames(7), prompts, 2)[0] for count in ("null", "1"))
    torch.testing.assert_close(torch.stack(apart), torch.stack(together), rtol=0, atol=1e-5)
