"""The sidecar tables of a written SEEG, to be changed together and written again."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Array = NDArray[np.floating]


@dataclass
class IeegTables:
    """Tables of one subject's recordings; every cell is text, as it stands in the file.

    Attributes
    ----------
    root : Path
    folder : Path
        With the recordings.
    stem : str
        Of the electrodes: subject and session.
    task : str
        Key of the stimulation in `channels`.
    events, electrodes : DataFrame
    channels : dict of str to DataFrame
        By the stem of the recording.
    readme : str
    renamed : dict
        Names of channels that the BrainVision headers still have, and what they become.
    """

    root: Path
    folder: Path
    stem: str
    task: str
    events: pd.DataFrame
    electrodes: pd.DataFrame
    channels: dict[str, pd.DataFrame]
    readme: str
    renamed: dict[str, str]

    @property
    def coordinate_system(self) -> str:
        """What the coordsystem file says."""
        content = json.loads((self.folder / f"{self.stem}_coordsystem.json").read_text(encoding="utf-8"))
        return str(content["iEEGCoordinateSystem"])

    def channel_names(self) -> list[str]:
        """Good channels of the stimulation."""
        table = self.channels[self.task]
        return [str(name) for name in table.loc[table["status"] == "good", "name"]]

    def onsets(self) -> Array:
        """Onsets of the events, s."""
        return self.events["onset"].astype(float).to_numpy()

    def of_lead(self, lead: str) -> list[str]:
        """Contacts of a lead."""
        return [str(name) for name in self.electrodes.loc[self.electrodes["group"] == lead, "name"]]

    def rename(self, new: dict[str, str], *, electrodes: bool = True) -> dict[str, str]:
        """Rename contacts in channels, events and headers, and in the electrodes too unless told otherwise."""
        for table in self.channels.values():
            for column in ("name", "reference"):
                table[column] = table[column].replace(new)
        if electrodes:
            self.electrodes["name"] = self.electrodes["name"].replace(new)
        sites = self.events["electrical_stimulation_site"]
        self.events["electrical_stimulation_site"] = [_renamed_site(site, new) for site in sites]
        for column in ("electrodes_involved_onset", "electrodes_involved_offset"):
            self.events[column] = self.events[column].replace(new)
        self.renamed |= new
        return new

    def add_event(self, onset_s: float, duration_s: float, kind: str, *, involved: str = "n/a") -> None:
        """Add a row that is no pulse, in the order of onsets where the table is in order."""
        row = dict.fromkeys(self.events.columns, "n/a")
        row |= {"onset": f"{onset_s:.6f}", "duration": f"{duration_s:.6f}", "trial_type": kind}
        row |= {"electrodes_involved_onset": involved, "electrodes_involved_offset": involved}
        row["sample_start"] = str(round(onset_s * self.sampling_hz()))
        if "offset" in row:
            row |= {"offset": f"{onset_s + duration_s:.6f}"}
            row |= {"sample_end": str(round((onset_s + duration_s) * self.sampling_hz()))}
        at = int((self.onsets() <= onset_s).sum())
        parts = [self.events.iloc[:at], pd.DataFrame([row]), self.events.iloc[at:]]
        self.events = pd.concat(parts, ignore_index=True)

    def move_event(self, position: int, onset_s: float) -> None:
        """Give an event another onset; samples and offset follow."""
        shift = onset_s - float(self.onsets()[position])
        row = self.events.index[position]
        samples = round(shift * self.sampling_hz())
        self.events.loc[row, "onset"] = f"{onset_s:.6f}"
        if "offset" in self.events:
            self.events.loc[row, "offset"] = f"{float(str(self.events.loc[row, 'offset'])) + shift:.6f}"
        for column in ("sample_start", "sample_end"):
            if column in self.events:
                self.events.loc[row, column] = str(int(str(self.events.loc[row, column])) + samples)

    def sampling_hz(self) -> float:
        """Of the stimulation."""
        return float(self.channels[self.task]["sampling_frequency"].iloc[0])

    def save(self) -> None:
        """Write every table again."""
        _write(self.folder / f"{self.task}_events.tsv", self.events)
        _write(self.folder / f"{self.stem}_electrodes.tsv", self.electrodes)
        for stem, table in self.channels.items():
            _write(self.folder / f"{stem}_channels.tsv", table)
            if self.renamed:
                self._rename_in_header(self.folder / f"{stem}_ieeg.vhdr")
        (self.root / "README.md").write_text(self.readme, encoding="utf-8")

    def _rename_in_header(self, path: Path) -> None:
        """Channel lines read ``Ch1=NAME,REFERENCE,RESOLUTION,UNIT``."""

        def line(found: re.Match[str]) -> str:
            names = [self.renamed.get(name, name) for name in found.group(2).split(",")]
            return f"{found.group(1)}={','.join(names)},"

        text = path.read_text(encoding="utf-8")
        path.write_text(re.sub(r"(?m)^(Ch\d+)=([^,]*,[^,]*),", line, text), encoding="utf-8")


def load_tables(root: Path, events: Path) -> IeegTables:
    """Tables of the stimulation that an events file belongs to, and of the recordings beside it."""
    task = events.name.removesuffix("_events.tsv")
    stem = task.split("_task-")[0]
    channels = {
        path.name.removesuffix("_channels.tsv"): _read(path)
        for path in sorted(events.parent.glob(f"{stem}_*_channels.tsv"))
    }
    readme = root / "README.md"
    return IeegTables(
        root,
        events.parent,
        stem,
        task,
        _read(events),
        _read(events.parent / f"{stem}_electrodes.tsv"),
        channels,
        readme.read_text(encoding="utf-8") if readme.exists() else "",
        {},
    )


def _renamed_site(site: str, new: dict[str, str]) -> str:
    """Sites are renamed while their names hold no hyphen of their own, or not at all."""
    return "-".join(new.get(name, name) for name in site.split("-")) if site.count("-") == 1 else site


def _read(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)


def _write(path: Path, table: pd.DataFrame) -> None:
    working = path.with_name(f".{path.name}")
    table.to_csv(working, sep="\t", index=False, lineterminator="\n")
    working.replace(path)
