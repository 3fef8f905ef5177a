#!/usr/bin/env python3
"""SciPy's and numpy's answers to the questions that gc_lab::stats answers.

  scipy_answers.py table         writes answers.json beside this file: samples and what SciPy says of them. The plain test reads it.
  scipy_answers.py check         reads what the Rust side computed from standard input, and compares it with what SciPy says, freshly.

Rust and SciPy get the very same samples. Where chance is involved (the bootstrap) they get the very same draws, too: Rust tells the positions.
"""

import json
import math
import pathlib
import sys

import numpy as np
import scipy
from scipy import stats

HERE = pathlib.Path(__file__).parent
TOLERANCE = 1e-9


def holm(p_values):
    """By the definition, not by the algorithm: the largest over all that are at most this one of (tests left) times p."""
    count = len(p_values)
    ordered = sorted(p_values)
    steps = [min(1.0, (count - rank) * p) for rank, p in enumerate(ordered)]
    return [max(step for step, other in zip(steps, ordered) if other <= p) for p in p_values]


def signed_rank(differences):
    """Exact by scipy.stats.wilcoxon; where values are tied by scipy.stats.permutation_test over all sign patterns."""
    nonzero = np.array([d for d in differences if d != 0.0])
    if len(nonzero) == 0:
        return 1.0
    if len(set(np.abs(nonzero))) == len(nonzero):
        return float(stats.wilcoxon(nonzero, method="exact").pvalue)

    def uneven(sample, axis=-1):
        ranks = stats.rankdata(np.abs(sample), axis=axis)
        return np.sum(np.where(sample > 0, ranks, 0.0), axis=axis)

    found = stats.permutation_test(
        (nonzero,), uneven, permutation_type="samples", n_resamples=np.inf, alternative="two-sided", vectorized=True
    )
    return float(found.pvalue)


def two_samples(a, b):
    ties = len(set(a + b)) < len(a + b)
    exact = not ties and len(a) * len(b) <= 2500
    found = stats.mannwhitneyu(a, b, alternative="two-sided", method="exact" if exact else "asymptotic")
    u = float(found.statistic)
    greater = sum((x > y) - (x < y) for x in a for y in b)
    p = float(found.pvalue)
    return {"u": u, "p": 1.0 if math.isnan(p) else p, "delta": greater / (len(a) * len(b))}


def samples():
    """Sizes, shapes and degenerate cases; the seed is fixed, so the table is the same for everyone."""
    rng = np.random.default_rng(20)
    pairs = []
    for m, n in [(1, 1), (3, 3), (5, 8), (6, 6), (10, 10), (20, 20), (20, 13), (50, 50), (60, 70)]:
        pairs.append((rng.normal(100, 1, m), rng.normal(101, 1, n)))
        pairs.append((rng.lognormal(0, 1, m), rng.lognormal(0, 1, n)))
        pairs.append((rng.integers(0, 8, m).astype(float), rng.integers(1, 9, n).astype(float)))
    pairs.append((np.full(6, 5.0), np.full(7, 5.0)))
    pairs.append((np.arange(20.0), np.arange(20.0) + 100.0))
    return [([float(x) for x in a], [float(y) for y in b]) for a, b in pairs]


def answers(a, b, positions=None):
    answer = two_samples(a, b)
    answer["median_a"] = float(np.median(a))
    answer["quantiles_a"] = [float(np.percentile(a, 100 * q)) for q in (0.025, 0.25, 0.5, 0.9, 0.975)]
    if all(x > 0 for x in a):
        answer["geometric_mean_a"] = float(stats.gmean(a))
    if len(a) == len(b):
        differences = [y - x for x, y in zip(a, b)]
        answer["signed_rank_p"] = signed_rank(differences) if len(a) <= 20 or len(set(map(abs, differences))) == len(a) else None
        answer["median_difference"] = float(np.median(differences))
        if positions is not None:
            resampled = np.median(np.sort(differences)[np.array(positions)], axis=1)
            answer["interval"] = [float(np.percentile(resampled, q)) for q in (2.5, 97.5)]
    return answer


def table():
    normal = [[z, float(stats.norm.sf(z))] for z in (-3.0, -0.5, 0.0, 0.1, 1.0, 1.959963984540054, 2.8, 2.9, 5.0, 9.0, 30.0)]
    families = [[0.01, 0.04, 0.03, 0.005], [0.5], [0.05, 0.05, 0.05], [1.0, 0.0, 1e-9, 0.2, 0.2]]
    rows = [{"a": a, "b": b, "answers": answers(a, b)} for a, b in samples()]
    document = {
        "scipy": scipy.__version__,
        "numpy": np.__version__,
        "made_by": "scipy_answers.py table",
        "normal_above": normal,
        "holm": [{"p": p, "corrected": holm(p)} for p in families],
        "samples": rows,
    }
    (HERE / "answers.json").write_text(json.dumps(document, indent=1) + "\n")
    print(f"{len(rows)} pairs of samples, SciPy {scipy.__version__}")


def close(ours, theirs):
    if isinstance(theirs, list):
        return len(ours) == len(theirs) and all(map(close, ours, theirs))
    return math.isclose(ours, theirs, rel_tol=TOLERANCE, abs_tol=1e-300)


def check():
    document = json.load(sys.stdin)
    compared, wrong = 0, []
    for number, row in enumerate(document["samples"]):
        theirs = answers(row["a"], row["b"], row.get("positions"))
        for key, value in theirs.items():
            if value is None or key not in row["answers"]:
                continue
            compared += 1
            if not close(row["answers"][key], value):
                wrong.append(f"sample {number}: {key} is {row['answers'][key]} here and {value} there")
    for row in document["holm"]:
        compared += 1
        if not close(row["corrected"], holm(row["p"])):
            wrong.append(f"holm of {row['p']}: {row['corrected']}")
    wrong += against_scipys_own_draws(document)
    print(f"{compared} figures compared with SciPy {scipy.__version__}, {len(wrong)} differ")
    print("\n".join(wrong))
    sys.exit(1 if wrong or compared == 0 else 0)


def against_scipys_own_draws(document):
    """The interval by scipy.stats.bootstrap with draws of its own: ends within the chance that is left, a tenth of the interval's width or one value."""
    wrong = []
    for number, row in enumerate(document["samples"]):
        if "interval" not in row["answers"] or len(set(row["a"])) < 10:
            continue
        differences = np.array(row["b"]) - np.array(row["a"])
        found = stats.bootstrap(
            (differences,), np.median, n_resamples=9999, method="percentile", rng=np.random.default_rng(number)
        ).confidence_interval
        ours = row["answers"]["interval"]
        ordered = np.sort(differences)
        gap = max(np.diff(ordered)[1:-1].max() / 2, 0.1 * (ours[1] - ours[0]))
        if abs(found.low - ours[0]) > gap or abs(found.high - ours[1]) > gap:
            wrong.append(f"sample {number}: interval {ours} here and {[found.low, found.high]} by scipy.stats.bootstrap")
    return wrong


if __name__ == "__main__":
    {"table": table, "check": check}.get(sys.argv[1] if len(sys.argv) > 1 else "", lambda: sys.exit(__doc__))()
