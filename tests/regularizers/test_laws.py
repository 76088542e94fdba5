import pytest

import laws


@pytest.mark.parametrize("law", laws.LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("spec", laws.SPECS)
def test_law(law, spec):
    law(spec)


@laws.traced
def test_compiled():
    laws.compiled_it_is_the_same("cutmix(prob=1.0) + sgdrop")


@laws.traced
@pytest.mark.slow
@pytest.mark.parametrize("spec", laws.SPECS)
def test_compiled_each(spec):
    laws.compiled_it_is_the_same(spec)
