"""From records of a topic to a served generation: the rules, for one experiment, without Kafka.

Records are staged per (part, attempt). The first attempt at a part that verifies wins, the others are dropped. When all
parts have a winner the generation is read back, sealed and switched to. Per part the offset up to which everything is
applied is stored in the transaction of the data, with counts and sums, so a crash at any point neither loses a record
nor takes one twice: after a restart records before that offset are skipped.
"""

import base64
import logging
import time
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from ok_ml.delivery.codec import Kind, Prefix, unpack_prefix
from ok_ml.delivery.control import Control, hex_checksum, open_control
from ok_ml.delivery.generation_ids import generation_name
from ok_ml.delivery.kafka.consuming import Record
from ok_ml.delivery.manifest import GenerationManifest
from ok_ml.delivery.reading import stored_value
from ok_ml.delivery.storage import PredictionStore
from ok_ml.delivery.write_attempts import PartState, Stage, Tally, problem_of, runs_of
from ok_ml.errors import DataError, EnvironmentFault, IntegrityError

logger = logging.getLogger(__name__)

_SET_ASIDE_LIMIT: Final = 100
_REFUSALS_KEPT: Final = 20


class Refusal(NamedTuple):
    """Why a generation is not served. `final`: no further attempt can change it."""

    generation: int
    reason: str
    at: float
    final: bool


class ExperimentLoader:
    """Takes the records of one experiment's topic into the storage.

    Parameters
    ----------
    signing_key
        Key that control records must be signed with.
    keep
        Generations that stay.
    log_id
        Identifies the topic's log: positions of another log mean nothing and are forgotten.
    """

    def __init__(
        self,
        store: PredictionStore,
        experiment: str,
        *,
        signing_key: bytes,
        keep: int,
        log_id: str,
    ) -> None:
        self.store, self.experiment, self.keep, self.log_id = store, experiment, keep, log_id
        self._key = signing_key
        self.stages: dict[int, Stage] = {}
        self.refusals: dict[int, Refusal] = {}
        self.set_aside = 0
        self.last_switch: dict[str, Any] | None = None
        self.refusal_count = self.switch_count = 0
        self.positions: dict[int, int] = {}
        self._is_dirty = False
        self._resume()

    # -- records -------------------------------------------------------------------------------------------------

    def apply(self, part: int, records: Sequence[Record]) -> None:
        """Take consecutive records of one part. Call `checkpoint` now and then.

        Raises
        ------
        ServiceUnavailable
            The storage does not answer: make a new loader, which continues from the last checkpoint.
        """
        for head, run in runs_of(records):
            self._apply_run(part, head, run)
        if records:
            self.positions[part] = records[-1].offset + 1
            self._is_dirty = True

    def checkpoint(self) -> None:
        """Make everything so far durable, then the positions; switch to what is complete."""
        if not self._is_dirty:
            return
        for generation in sorted(self.stages):
            with _Refusing(self, generation):
                self.stages[generation].staged.commit()
        self._advance()
        positions = {str(part): offset for part, offset in self.positions.items()}
        self.store.write_document(self.experiment, "positions", {"log_id": self.log_id, "positions": positions})
        self._is_dirty = False

    @property
    def is_complete(self) -> bool:
        """Whether a checkpoint would switch now."""
        return any(stage.is_complete for stage in self.stages.values())

    def close(self) -> None:
        """Let go without a checkpoint."""
        for stage in self.stages.values():
            stage.staged.close()
        self.stages.clear()

    def _apply_run(self, part: int, head: bytes, run: list[Record]) -> None:
        """Apply records that start with the same 22 bytes."""
        try:
            prefix = unpack_prefix(head)
        except DataError as error:
            self._put_aside(part, run, error.problem)
            return
        if self._is_ignored(prefix.generation):
            return
        with _Refusing(self, prefix.generation):
            stage = self._stage(prefix.generation)
            state = stage.part(part)
            fresh = [record for record in run if record.offset >= state.next_offset]
            state.next_offset = max(state.next_offset, run[-1].offset + 1)
            if prefix.kind is Kind.CONTROL:
                for record in fresh:
                    self._take_control(stage, part, prefix, record)
            elif fresh and state.winner is None:
                self._take_values(stage, part, prefix, fresh)

    def _take_values(self, stage: Stage, part: int, prefix: Prefix, records: list[Record]) -> None:
        state = stage.part(part)
        tally = state.tallies.setdefault(prefix.tag.hex(), Tally())
        if tally.problem:
            return
        kind, last, stored = bytes([prefix.kind]), bytes.fromhex(tally.last_key), []
        for record in records:
            key = kind + record.key
            problem = problem_of(prefix.kind, record, ascending=key > last)
            if problem:
                tally.problem = f"record at offset {record.offset}: {problem}"
                self._put_aside(part, [record], tally.problem)
                self._refuse_part(stage, prefix.generation, part, tally.problem)
                break
            value, digest = stored_value(record.key, record.value)
            stored.append((key, value))
            tally.count += 1
            tally.total += digest
            last = key
        tally.last_key = last.hex()
        stage.staged.write(part, prefix.tag, stored, state.to_json())

    # -- control records -----------------------------------------------------------------------------------------

    def _take_control(self, stage: Stage, part: int, prefix: Prefix, record: Record) -> None:
        state = stage.part(part)
        if state.winner is None:
            try:
                state.winner = self._verified(state, part, prefix, record)
            except IntegrityError as error:
                self._put_aside(part, [record], error.problem)
                self._refuse_part(stage, prefix.generation, part, error.problem)
            else:
                self._drop_losers(stage, part, prefix.tag)
        stage.staged.write(part, prefix.tag, [], state.to_json())

    def _verified(self, state: PartState, part: int, prefix: Prefix, record: Record) -> Control:
        control = open_control(record.value, self._key)
        if (control.experiment, control.part) != (self.experiment, part):
            raise IntegrityError(
                f"a control record of {control.experiment} part {control.part} came in part {part} of {self.experiment}"
            )
        tally = state.tallies.get(prefix.tag.hex(), Tally())
        received = (tally.count, hex_checksum(tally.total))
        if tally.problem or received != (control.count, control.checksum):
            raise IntegrityError(
                f"part {part}, attempt {control.attempt[:16]}: received {received[0]} records with checksum {received[1]},"
                f" published {control.count} with {control.checksum}{f'; {tally.problem}' if tally.problem else ''}"
            )
        return control

    def _drop_losers(self, stage: Stage, part: int, winner: bytes) -> None:
        stage.problems.pop(part, None)
        state = stage.part(part)
        for tag in [tag for tag in state.tallies if tag != winner.hex()]:
            if state.tallies.pop(tag).count:
                stage.staged.drop(part, bytes.fromhex(tag))
        if not stage.problems:
            self.refusals.pop(stage.staged.generation, None)

    def _refuse_part(self, stage: Stage, generation: int, part: int, reason: str) -> None:
        stage.problems[part] = reason
        self.refuse(generation, reason, final=False)

    # -- generations ---------------------------------------------------------------------------------------------

    def refuse(self, generation: int, reason: str, *, final: bool) -> None:
        """Note why a generation is not served; a final refusal forgets what was staged of it."""
        logger.error("%s: generation %s is refused: %s", self.experiment, generation_name(generation), reason)
        self.refusals[generation] = Refusal(generation, reason, time.time(), final)
        self.refusal_count += 1
        for old in sorted(self.refusals)[:-_REFUSALS_KEPT]:
            del self.refusals[old]
        if final:
            self._forget(generation)

    def _is_ignored(self, generation: int) -> bool:
        refusal = self.refusals.get(generation)
        return generation <= self.newest or (refusal is not None and refusal.final)

    def _stage(self, generation: int) -> Stage:
        stage = self.stages.get(generation)
        if stage is None:
            stage = self.stages[generation] = Stage(self.store.stage(self.experiment, generation))
        return stage

    def _advance(self) -> None:
        """Seal and switch to complete generations, oldest first."""
        for generation in sorted(g for g, stage in self.stages.items() if stage.is_complete):
            with _Refusing(self, generation):
                self._seal(generation)
                self._switch(generation)

    def _seal(self, generation: int) -> None:
        stage = self.stages[generation]
        winners = stage.winners
        versions = {control.model_version for control in winners}
        if len(versions) > 1 or [control.part for control in winners] != list(range(winners[0].parts)):
            raise IntegrityError(
                f"the parts of generation {generation_name(generation)} do not belong together: model versions {versions}"
            )
        for control in winners:
            stage.staged.verify(control)
        stage.staged.seal(GenerationManifest(self.experiment, generation, tuple(winners), time.time()))
        del self.stages[generation]

    def _switch(self, generation: int) -> None:
        before = self.store.current(self.experiment)
        self.store.switch(self.experiment, generation)
        self.newest = generation
        self.refusals.pop(generation, None)
        self.switch_count += 1
        self.last_switch = {"generation": generation, "from": before, "at": time.time()}
        logger.info("%s serves generation %s", self.experiment, generation_name(generation))
        for old in [g for g in self.stages if g < generation]:
            self._forget(old)
        self.store.collect(self.experiment, self.keep)

    def _forget(self, generation: int) -> None:
        stage = self.stages.pop(generation, None)
        if stage is not None:
            stage.staged.close()
        self.store.drop_staged(self.experiment, generation)

    # -- beginning -----------------------------------------------------------------------------------------------

    def _resume(self) -> None:
        """Go on where the last process stopped, wherever that was."""
        status = self.store.read_document(self.experiment, "status") or {}
        self.refusals = {r["generation"]: Refusal(**r) for r in status.get("refused", [])}
        self.set_aside = int(status.get("set_aside", 0))
        self.newest = self.store.newest(self.experiment)
        pending = self.store.pending(self.experiment)
        if pending is not None:
            self._switch(pending)
        stored = self.store.read_document(self.experiment, "positions") or {}
        same_log = stored.get("log_id") == self.log_id
        self.positions = {int(part): offset for part, offset in stored["positions"].items()} if same_log else {}
        for generation in self.store.staged(self.experiment):
            if not same_log or self._is_ignored(generation):
                self.store.drop_staged(self.experiment, generation)
            else:
                self._stage(generation)
        self._is_dirty = True

    def _put_aside(self, part: int, records: Sequence[Record], reason: str) -> None:
        """Keep records that cannot be used, the first hundred, for whoever looks into it."""
        for record in records:
            self.set_aside += 1
            if self.set_aside <= _SET_ASIDE_LIMIT:
                logger.warning("%s [%d] offset %d is set aside: %s", self.experiment, part, record.offset, reason)
                content = {
                    "reason": reason,
                    "part": part,
                    "offset": record.offset,
                    "key": _base64(record.key),
                    "value": _base64(record.value),
                }
                self.store.write_document(
                    self.experiment, f"set-aside-{part:05d}-{record.offset}", content, durable=False
                )


class _Refusing:
    """Within the block an integrity error or a full disk costs one generation, finally, and nothing else."""

    def __init__(self, loader: ExperimentLoader, generation: int) -> None:
        self._loader, self._generation = loader, generation

    def __enter__(self) -> None:
        return None

    def __exit__(self, _type: object, error: BaseException | None, _trace: object) -> bool:
        if isinstance(error, IntegrityError | EnvironmentFault):
            self._loader.refuse(self._generation, error.problem, final=True)
            return True
        return False


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
