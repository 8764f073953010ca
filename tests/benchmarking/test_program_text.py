"""Bytes and collectives in the text of a program, counted by hand."""

import jax
import jax.numpy as jnp
import pytest

from fr_inference.benchmarking import program_text

LOOP = """HloModule test, entry_computation_layout={()->f32[]}

%fused (p: f32[100]) -> f32[100] {
  %p = f32[100]{0} parameter(0)
  ROOT %n = f32[100]{0} negate(%p)
}

%body (state: (s32[], f32[100])) -> (s32[], f32[100]) {
  %state = (s32[], f32[100]{0}) parameter(0)
  %x = f32[100]{0} get-tuple-element(%state), index=1
  %y = f32[100]{0} fusion(%x), kind=kLoop, calls=%fused
  %i = s32[] get-tuple-element(%state), index=0
  ROOT %next = (s32[], f32[100]{0}) tuple(%i, %y)
}

%condition (state.1: (s32[], f32[100])) -> pred[] {
  %state.1 = (s32[], f32[100]{0}) parameter(0)
  ROOT %true = pred[] constant(true)
}

ENTRY %main (a: f32[100], b: bf16[2,3]) -> f32[100] {
  %a = f32[100]{0} parameter(0)
  %b = bf16[2,3]{1,0:T(8,128)(2,1)} parameter(1)
  %zero = s32[] constant(0)
  %begin = (s32[], f32[100]{0}) tuple(%zero, %a)
  %loop = (s32[], f32[100]{0}) while(%begin), condition=%condition, body=%body, backend_config={"known_trip_count":{"n":"7"}}
  %out = f32[100]{0} get-tuple-element(%loop), index=1
  %product = (bf16[4,4]{1,0}, s8[33554432]{0}) custom-call(%b, %b), custom_call_target="__cublas$lt$matmul"
  %sum = f32[100]{0} all-reduce-start(%out), replica_groups={}, to_apply=%fused
  %done = f32[100]{0} all-reduce-done(%sum)
  ROOT %copy = f32[100]{0} copy(%done)
}
"""  # noqa: E501


def test_bytes_by_hand():
    loop = 7 * (400 + 400)  # each round reads and writes 100 float32
    product = 32 + 12 + 12  # without the scratch memory
    reduced = 400 + 400
    copied = 400 + 400  # what the end of the all-reduce gives
    assert program_text.bytes_moved(LOOP) == loop + product + reduced + copied


def test_vector_memory_is_no_main_memory():
    """A tensor that a TPU's compiler keeps on the chip moves only where it is brought or taken away."""
    text = """
%fused (p: f32[100]) -> f32[100] {
  %p = f32[100]{0} parameter(0)
  ROOT %n = f32[100]{0} negate(%p)
}
ENTRY %main (a: f32[100]) -> f32[100] {
  %a = f32[100]{0:T(128)} parameter(0)
  %in = ((f32[100]{0:T(128)}), f32[50]{0:T(128)S(1)}, s32[]{:T(128)S(6)}) slice-start(%a), slice={[0:50]}
  %halved = f32[50]{0:T(128)S(1)} slice-done(%in)
  %bring = (f32[100]{0:T(128)S(1)}, f32[100]{0:T(128)}, u32[]{:S(2)}) copy-start(%a)
  %brought = f32[100]{0:T(128)S(1)} copy-done(%bring)
  %inside = f32[100]{0:T(128)S(1)} fusion(%brought, %halved), kind=kLoop, calls=%fused
  %mixed = f32[100]{0:T(128)} fusion(%inside, %a), kind=kLoop, calls=%fused
  %move = (f32[100]{0:T(128)}, f32[100]{0:T(128)}, u32[]{:S(2)}) copy-start(%mixed)
  ROOT %moved = f32[100]{0:T(128)} copy-done(%move)
}
"""
    brought, mixed, moved = 200 + 400, 400 + 400, 400 + 400
    assert program_text.bytes_moved(text) == brought + mixed + moved


def test_collectives_are_counted_once():
    assert program_text.collectives(LOOP) == {'all-reduce': 1}


def test_of_a_real_program():
    """A product of two matrices reads both and writes the third."""
    a, b = jnp.ones((64, 128)), jnp.ones((128, 32))
    text = jax.jit(lambda a, b: a @ b).lower(a, b).compile().as_text()
    least = 4 * (64 * 128 + 128 * 32 + 64 * 32)
    assert least <= program_text.bytes_moved(text) <= 2 * least
    assert not program_text.collectives(text)


def test_the_costlier_branch_counts():
    text = """
%small (p: f32[2]) -> f32[2] {
  %p = f32[2]{0} parameter(0)
  ROOT %n = f32[2]{0} negate(%p)
}
%large (q: f32[2]) -> f32[2] {
  %q = f32[2]{0} parameter(0)
  %w = f32[50]{0} broadcast(%q), dimensions={0}
  ROOT %m = f32[2]{0} slice(%w), slice={[0:2]}
}
ENTRY %main (i: s32[], a: f32[2]) -> f32[2] {
  %i = s32[] parameter(0)
  %a = f32[2]{0} parameter(1)
  ROOT %c = f32[2]{0} conditional(%i, %a, %a), branch_computations={%small, %large}
}
"""
    assert program_text.bytes_moved(text) == (8 + 200) + (200 + 8)


@pytest.mark.parametrize(
    ('text', 'size'),
    [('f32[]', 4), ('bf16[3,5]{1,0}', 30), ('s4[3]', 2), ('f8e4m3fn[10]', 10), ('c64[2]', 16)],
)
def test_sizes(text, size):
    assert program_text.size(text) == size


def test_another_text():
    with pytest.raises(ValueError, match='ENTRY'):
        program_text.bytes_moved('HloModule nothing')
