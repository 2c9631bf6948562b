# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What every aitable node is: its lifecycle, and how it is reloaded, reset and disabled."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, TypeVar

from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn

from aitable_ros.inference.engine import InferenceError, one_line
from aitable_ros.inference.free_memory import return_free_memory
from aitable_ros.ros_support.node.operations import NodeOperations
from aitable_ros.ros_support.node.services import serve
from aitable_ros.ros_support.node.worker import Worker
from aitable_ros.ros_support.node.working_node import WorkingNode
from aitable_ros.ros_support.process.executor import collect_what_was_spared

R = TypeVar('R')

AUTOSTART_DELAY_S = 0.02


class ManagedNode(WorkingNode):
    """
    Base of all nodes.

    Callbacks only leave work (:meth:`offer`) for the node's worker thread, which loads, uses and
    closes the networks. What a subclass adds is in
    :class:`~aitable_ros.ros_support.node.hooks.NodeHooks`, what it uses in
    :class:`~aitable_ros.ros_support.node.working_node.WorkingNode`.

    Lifecycle: *configure* reads the parameters and loads models (failure leaves the node
    unconfigured, with the reason in the log and in /diagnostics), *activate* subscribes and
    works, *deactivate* pauses with the models kept, *cleanup* and *shutdown* free them. An error
    in any of them is logged, frees everything and leaves the node unconfigured, or finalized
    where even freeing fails.

    Reload: :meth:`load` runs in a fresh worker thread beside the one that works, which goes on
    where it fails, or where a network that runs would not any more. Between two frames the new
    one takes over, with what waits in the mailbox.

    Transitions and services run one after the other in a thread of their own, so that the
    executor never waits for them; ``trigger_configure()`` and its like block the caller.

    :param kwargs: passed to :class:`rclpy.lifecycle.LifecycleNode`.
    """

    def __init__(self, name: str, **kwargs: Any) -> None:
        super().__init__(name, **kwargs)
        self.operations = NodeOperations(self)
        self._swap = threading.Lock()
        serve(self)
        if self.params['autostart']:
            self._autostart_timer = self.create_timer(
                AUTOSTART_DELAY_S, self._autostart, clock=self.meters.steady_clock
            )

    # What the services do; each returns what was done, in words.

    def reset_now(self) -> str:
        """Forget what was seen, between two frames; RuntimeError: there is nothing to forget."""
        worker = self._worker
        if worker is None:
            raise RuntimeError(f'there is nothing to reset: the node is {self.state}')
        self._between_items(worker, self.reset)
        return 'everything seen so far is forgotten'

    def set_enabled(self, enabled: bool) -> str:
        """
        Let the node work, or unsubscribe with everything kept; the lifecycle state stays.

        :raises Exception: what subscribing raised; the node is disabled then.
        """
        word = 'enabled' if enabled else 'disabled'
        if enabled == self._enabled:
            return f'already {word}'
        self._enabled = enabled
        if not self.is_active:
            return f'{word}, for when it is active: the node is {self.state}'
        if not enabled:
            self._pause()
            return word
        try:
            self._begin()
        except Exception:
            self._enabled = False
            self._pause()
            raise
        return word

    def reload(self) -> str:
        """
        Read the parameters again and load the networks anew; waits until they have taken over.

        :raises Exception: why it could not be done; what worked before still does.
        """
        old = self._worker
        if old is None:
            raise RuntimeError(
                f'the node is {self.state}: configure it, which reads the parameters, too'
            )
        self._exchange(old)
        give_back_free_memory()
        if self.is_active and self._enabled:
            self.operations.in_executor(self.adapt)
        return '; '.join(['reloaded', *(s.explain() for s in self.selections())])

    def _exchange(self, old: Worker[Any]) -> None:
        """Load anew in another worker, let it take over, and free what was."""
        new = self._new_worker()
        try:
            values = self.params.values()
            loaded = new.call(lambda: self.load(values)).result()
            try:
                self._keep_what_works(loaded, values)
                previous = self._let_take_over(old, new, loaded, values)
            except BaseException:
                new.call(lambda: self.unload(loaded)).result()
                raise
        except BaseException as error:
            new.stop()
            self.meters.reload_problem = one_line(error) or type(error).__name__
            raise
        self.meters.reload_problem = ''
        try:
            old.call(lambda: self.unload(previous)).result()
        except Exception as error:  # the new ones run: that the old ones are not freed is all
            self.seldom.error('free', f'the old networks could not be freed: {error}')
        finally:
            old.stop()

    def _keep_what_works(self, loaded: Any, values: Mapping[str, Any]) -> None:
        """Raise InferenceError where a network, or what runs it, would be lost by a reload."""
        anew = {one.engine.name: one for one in getattr(loaded, 'selections', ())}
        for one in self.selections():
            now, name = anew.get(one.engine.name), one.engine.name
            if now is None:
                why = self.missing(loaded, values)
            else:
                why = next((s.reason for s in now.skipped if s.backend == one.backend), '')
            if why:
                raise InferenceError(
                    f'{name} runs on {one.backend} and would not any more: {why}; '
                    'cleanup and configure take what there is'
                )

    def _let_take_over(
        self, old: Worker[Any], new: Worker[Any], loaded: Any, values: Mapping[str, Any]
    ) -> Any:
        """Exchange the workers in the old one's thread, between two items."""

        def take_over() -> Any:
            with self._swap:
                if self._worker is not old:
                    raise RuntimeError('the node was cleaned up meanwhile')
                previous = self.loaded
                self.carry_over(previous, loaded)
                self.loaded = loaded
                self._values_loaded = values
                # what was set while it loaded
                self.params.touch()
                # before the first item
                new.call(lambda: self.meters.look_at_gpu(now=True))
                old.hand_over(new)
                self._worker = new
            return previous

        return self._between_items(old, take_over)

    def _between_items(self, worker: Worker[Any], function: Callable[[], R]) -> R:
        """Call a function in the worker thread and wait for it, but not long for an item."""
        future = worker.call(function)
        self.interrupt()
        return future.result()

    # Lifecycle.

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start the worker thread and load the networks in it."""
        self.meters.problem = self.meters.reload_problem = ''
        worker = self._worker = self._new_worker()
        try:
            worker.call(self._load_first).result()
        except Exception as error:
            self._note_problem('not configured', error, is_error=self.is_required)
            self._free()
            return TransitionCallbackReturn.FAILURE
        give_back_free_memory()
        for selection in self.selections():
            self.get_logger().info(selection.explain())
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe and start working."""
        try:
            if self._enabled:
                self._begin()
        except Exception as error:
            self.seldom.error('activate', f'not activated: {error}')
            self._pause()
            return TransitionCallbackReturn.FAILURE
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop working; the networks stay loaded."""
        done = self._attempt('deactivating', self._pause)
        return super().on_deactivate(state) if done else TransitionCallbackReturn.ERROR

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Close the networks and end the worker thread."""
        if not self._attempt('cleaning up', self._free):
            return TransitionCallbackReturn.ERROR
        self.meters.problem = self.meters.reload_problem = ''
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Close everything, from whatever state; what goes wrong is logged and no obstacle."""
        self._attempt('shutting down', self._pause)
        self._attempt('shutting down', self._free)
        return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free everything; then configuring may be tried again, or, where that fails, not."""
        paused = self._attempt('error processing', self._pause)
        freed = self._attempt('error processing', self._free)
        whole = paused and freed
        return super().on_error(state) if whole else TransitionCallbackReturn.FAILURE

    def request_transition(self, name: str) -> Future[bool]:
        """
        Queue a transition, as the service does; returns at once.

        :param name: configure, activate, deactivate, cleanup or shutdown.
        :returns: whether it succeeded; RuntimeError when the node is destroyed first.
        """
        trigger: Callable[[], Any] = getattr(self, f'trigger_{name}')

        def run() -> bool:
            try:
                return bool(trigger() == TransitionCallbackReturn.SUCCESS)
            except (rclpy_implementation.RCLError, rclpy_implementation.InvalidHandle) as error:
                # somebody else changed the state meanwhile, or the process is ending
                if self.context.ok():
                    self.get_logger().debug(f'{name} is not possible: {error}')
                return False

        return self.operations.submit(run)

    def destroy_node(self) -> None:
        """
        Free everything and destroy the node.

        Waits for what is under way: where it must not, let a :meth:`request_transition` of
        shutdown end first.
        """
        if self.released:
            return
        self.released = True
        # Kilted's context destroys also nodes whose constructor raised
        if hasattr(self, '_swap'):
            self.operations.close()
            self._attempt('destroying', self._pause)
            self._attempt('destroying', self._free)
        super().destroy_node()

    def _autostart(self) -> None:
        self._autostart_timer.cancel()
        self.request_transition('configure').add_done_callback(self._activate_if)

    def _activate_if(self, configured: Future[bool]) -> None:
        if configured.exception() is None and configured.result():
            self.request_transition('activate')

    def _load_first(self) -> None:
        self._values_loaded = self.values = self.params.values()
        self.loaded = self.load(self.values)
        self.reset()
        self.params.touch()
        self.meters.look_at_gpu(now=True)

    def _begin(self) -> None:
        assert self._worker is not None
        self.meters.note_activation()
        self._worker.resume()
        self.operations.in_executor(self.start)

    def _pause(self) -> None:
        try:
            self.operations.in_executor(self._leave_inputs)
        finally:
            if self._worker is not None:
                self._worker.pause()

    def _leave_inputs(self) -> None:
        try:
            self.unsubscribe_from_frames()
        finally:
            self.stop()

    def _free(self) -> None:
        with self._swap:
            worker, self._worker = self._worker, None
        if worker is None:
            return

        def unload() -> None:
            loaded, self.loaded = self.loaded, None
            try:
                if loaded is not None:
                    self.unload(loaded)
            finally:
                self.reset()

        try:
            worker.call(unload).result()
        finally:
            worker.stop()
            give_back_free_memory()

    def _attempt(self, what: str, action: Callable[[], None]) -> bool:
        """Tell whether an action succeeded; note why not."""
        try:
            action()
        except Exception as error:
            self._note_problem(f'error while {what}', error, is_error=True)
            return False
        return True

    def _note_problem(self, what: str, error: Exception, *, is_error: bool) -> None:
        self.meters.problem = one_line(error) or type(error).__name__
        self.meters.problem_is_error = is_error
        if not self.context.ok():  # the process may be ending
            return
        if is_error:
            self.seldom.error(what, f'{what}: {self.meters.problem}')
        else:
            self.seldom.warn(what, f'{what}: {self.meters.problem}')


def give_back_free_memory() -> None:
    """Free what was reloaded or unloaded, and return it to the system."""
    collect_what_was_spared()
    return_free_memory()
