"""Sorted times into lines of a table."""

from collections.abc import Sequence


def percentile(times: Sequence[float], percent: float) -> float:
    """The smallest of `times` that at least `percent` of them do not exceed."""
    ranked = sorted(times)
    rank = -(-len(ranked) * percent // 100)  # rounded up
    return ranked[max(int(rank), 1) - 1]


def median(times: Sequence[float]) -> float:
    """The middle one, or the mean of the two in the middle."""
    ranked = sorted(times)
    half = len(ranked) // 2
    return ranked[half] if len(ranked) % 2 else (ranked[half - 1] + ranked[half]) / 2


def show(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints a table: the first column to the left, the others to the right."""
    lines = [list(map(str, row)) for row in (head, *rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    print(f"\n{title}")
    for number, line in enumerate(lines):
        cells = [line[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(line[1:], widths[1:])]
        print("  " + "  ".join(cells).rstrip())
        if number == 0:
            print("  " + "  ".join("-" * width for width in widths))
    print(flush=True)


class Times:
    """Named series of times in seconds, shown in milliseconds in the order of their first use."""

    def __init__(self) -> None:
        self.series: dict[str, list[float]] = {}

    def add(self, name: str, seconds: float) -> None:
        self.series.setdefault(name, []).append(seconds * 1000)

    def show(self, title: str, ratio: dict[str, str]) -> None:
        """Prints them; `ratio` says for a name which peer's median is divided by its own."""
        rows = []
        for name, times in self.series.items():
            peer = self.series.get(ratio.get(name, ""))
            against = f"{median(peer) / median(times):.1f}x faster" if peer else ""
            figures = (min(times), median(times), percentile(times, 90), percentile(times, 99), max(times))
            rows.append([name, len(times), *(f"{figure:.2f}" for figure in figures), against])
        show(title, ["ms", "n", "min", "median", "p90", "p99", "max", "beside peer"], rows)
