"""Where a head may grow."""

import numpy as np
import pytest

from headstart.heads.candidates import Candidate, candidates
from tests.heads.samples import noise


class TestCandidates:
    def test_a_single_stage_is_the_only_candidate(self):
        assert candidates({"head": 512}) == (Candidate(("head",), 0),)

    def test_two_stages_stand_alone_and_together(self):
        assert [c.stages for c in candidates({"a": 10, "b": 20})] == [("a",), ("b",), ("a", "b")]

    def test_windows_of_equal_widths_are_bounded_by_their_sum(self):
        # A ViT-Small: twelve blocks of 384; four fit into 1,536.
        found = candidates({f"blocks.{n}": 384 for n in range(12)})
        runs = [c for c in found if len(c.stages) > 1]
        assert len(found) == 12 + 6
        assert max(len(c.stages) for c in runs) == 4
        assert {c.depth for c in runs} == {10, 11}

    def test_lite0_has_no_window_with_its_wide_last_stage(self):
        widths = [16, 24, 40, 80, 112, 192, 320, 1280]
        found = candidates({f"s{n}": width for n, width in enumerate(widths)})
        runs = [c.stages for c in found if len(c.stages) > 1]
        assert runs == [tuple(f"s{n}" for n in range(first, 7)) for first in range(2, 6)]

    def test_the_widest_stage_of_resnet50_sets_the_limit(self):
        found = candidates({"stem": 64, "l1": 256, "l2": 512, "l3": 1024, "l4": 2048})
        runs = [c.stages for c in found if len(c.stages) > 1]
        assert runs == [
            ("stem", "l1", "l2", "l3"),
            ("l1", "l2", "l3"),
            ("l2", "l3"),
        ]

    @pytest.mark.parametrize("widths", [[64], [8, 8], [384] * 12, [16, 24, 40, 80, 320, 1280]])
    def test_every_candidate_is_a_run_that_ends_at_its_depth(self, widths):
        names = [f"s{n}" for n in range(len(widths))]
        found = candidates(dict(zip(names, widths, strict=True)))
        assert len(set(found)) == len(found)
        assert [c.stages for c in found[: len(names)]] == [(name,) for name in names]
        for candidate in found:
            first = candidate.depth + 1 - len(candidate.stages)
            assert candidate.stages == tuple(names[first : candidate.depth + 1])
            assert len(candidate.stages) <= 5

    def test_features_stand_side_by_side_in_order(self):
        values = noise(3, 4, width=2)
        X = Candidate(("s0", "s2"), 2).gather(values)
        assert X.tolist() == np.concatenate([values["s0"], values["s2"]], axis=1).tolist()
