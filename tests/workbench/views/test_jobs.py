"""Background jobs and the cache of models, without a page."""

import threading

import pytest

from apps.explorer.playground.sides import Checkpoint, write_sides
from workbench.errors import DataError
from workbench.models.tiny import tiny_model
from workbench.views.jobs import Job, forget, start
from workbench.views.model_cache import LoadedModel, ModelCache


@pytest.fixture
def gate():
    """An event that is set at the end of the test, so that no thread stays."""
    event = threading.Event()
    yield event
    event.set()


def test_finished_job_has_its_result():
    job = start("count", lambda job: [job.report(done=k, total=3) for k in range(4)] and 7)
    assert job.wait(10) and job.state == "finished" and job.result == 7
    assert (job.done, job.total) == (3, 3) and job.over


def test_cancelled_job_stops_at_its_next_report(gate):
    reached = []

    def work(job):
        gate.wait(10)
        job.report()
        reached.append("after")

    job = start("wait", work)
    assert not job.over and not job.wait(0.05)
    job.cancel()
    gate.set()
    assert job.wait(10) and job.state == "cancelled" and not reached


def test_user_errors_are_their_line_and_bugs_are_one_line_too(caplog):
    def user(job):
        raise DataError("the list is empty: write a prompt")

    def bug(job):
        raise ValueError("first\nsecond")

    jobs = [start("one", user), start("two", bug)]
    assert all(job.wait(10) for job in jobs) and [job.state for job in jobs] == ["failed"] * 2
    assert jobs[0].error == "the list is empty: write a prompt"
    assert jobs[1].error == "two failed (ValueError: first)" and "Traceback" in caplog.text


def test_job_lets_go_of_its_work():
    import gc
    import weakref

    class Big:
        pass

    big = Big()
    seen = weakref.ref(big)
    job = start("hold", lambda job, big=big: None)
    job.wait(10)
    del big
    gc.collect()
    assert seen() is None


def test_generation_is_cancelled_between_two_tokens_and_the_model_is_whole_after():
    model = tiny_model()
    before = model.generate(["a b"], max_new_tokens=8, seeds=3)[0][0].tokens
    job = Job("write", lambda job: None)
    passes = []

    def report(**progress):
        passes.append(progress)
        if len(passes) > 4:
            job.cancel()
        Job.report(job, **progress)

    job.report = report
    job._work = lambda job: write_sides(model, model.encode("a b"), [], job, 64, 1.0, 3)
    job.run()
    assert job.state == "cancelled" and len(passes) == 5
    assert model.generate(["a b"], max_new_tokens=8, seeds=3)[0][0].tokens == before


def test_checkpoint_changes_no_number():
    model, job = tiny_model(), Job("write", lambda job: None)
    plain = model.generate(["a b c"], max_new_tokens=12, seeds=1)[0][0]
    watched = model.generate(["a b c"], max_new_tokens=12, seeds=1, interventions=[Checkpoint(job, 12)])[0][0]
    assert plain == watched and job.done == job.total == 12


def test_model_is_loaded_once_by_two_threads_and_again_after_unloading(monkeypatch):
    import workbench.views.model_cache

    calls = []

    def load(source):
        calls.append(source)
        return tiny_model()

    monkeypatch.setattr(workbench.views.model_cache, "load_model", load)
    cache, found = ModelCache(), []
    threads = [threading.Thread(target=lambda: found.append(cache.load("tiny"))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert calls == ["tiny"] and len(set(map(id, found))) == 1 and cache.sources() == ["tiny"]
    cache.unload("tiny")
    assert cache.get("tiny") is None and cache.load("tiny") is not found[0] and calls == ["tiny"] * 2


def test_unloaded_model_is_freed_though_it_was_kept_out_of_garbage_collection(monkeypatch):
    import gc
    import weakref

    import workbench.views.model_cache

    monkeypatch.setattr(workbench.views.model_cache, "load_model", lambda source: tiny_model())
    cache = ModelCache()
    seen = weakref.ref(cache.load("tiny").model.backend.hf_model)
    assert gc.get_freeze_count() > 0 and seen() is not None
    cache.unload("tiny")
    assert seen() is None
    gc.unfreeze()


def test_second_job_waits_for_the_model_and_can_be_cancelled_meanwhile(gate):
    loaded, inside = LoadedModel("tiny", tiny_model()), threading.Event()

    def first(job):
        with loaded.held_by(job):
            inside.set()
            gate.wait(10)

    def second(job):
        with loaded.held_by(job):
            return "in"

    one = start("one", first)
    assert inside.wait(10)
    two, three = start("two", second), start("three", second)
    assert not two.wait(0.3) and "waiting" in two.message
    two.cancel()
    assert two.wait(10) and two.state == "cancelled"
    gate.set()
    assert one.wait(10) and three.wait(10) and three.result == "in"


def test_page_keeps_a_place_for_what_follows_the_progress_though_a_busy_server_drops_its_messages(monkeypatch):
    import streamlit.testing.v1.local_script_runner as runner
    from streamlit.runtime.forward_msg_queue import ForwardMsgQueue
    from streamlit.testing.v1 import AppTest

    def script():
        import streamlit as st

        from workbench.views.jobs import Job, show_job

        st.write("before")
        show_job(Job("work", print))
        st.write("after")

    sent, parse = [], runner.parse_tree_from_messages
    monkeypatch.setattr(runner, "parse_tree_from_messages", lambda found: sent.extend(found) or parse(found))
    AppTest.from_function(script).run()
    fragments = {message.delta.fragment_id for message in sent} - {""}
    queue, places = ForwardMsgQueue(), {}
    for message in sent:
        queue.enqueue(message)
    queue.clear(retain_lifecycle_msgs=True, fragment_ids_this_run=list(fragments))  # the fragment runs again
    for message in queue.flush():
        if message.WhichOneof("type") == "delta":
            *parent, index = message.metadata.delta_path
            assert index <= places.get(tuple(parent), 0), "the browser has no place for this"
            places[tuple(parent)] = max(places.get(tuple(parent), 0), index + 1)
    assert len(fragments) == 1 and places[0,] == 3


def test_forgetting_an_empty_slot_does_nothing():
    forget("nothing")
