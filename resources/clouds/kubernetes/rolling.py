"""Rolling updates, restarts, and taking them back.

The cluster's own controllers do the rolling; one patch asks for it. The patch carries the
operation's token and the images it leaves, so whoever comes later can tell our change from
somebody else's.
"""

from qlrf_pipelines.domain.errors import Rejected
from qlrf_pipelines.domain.operations import FIRST_TRY, Operation, Progress
from resources.clouds.kubernetes.captured import Captured, is_same, is_untouched, undone
from resources.clouds.kubernetes.complaints import Object
from resources.clouds.kubernetes.following import check_free, follow, progress_seen
from resources.clouds.kubernetes.hands import (
    FIRST,
    IMAGES,
    OPERATION,
    RESTARTED,
    SEEN,
    Hands,
    annotations_of,
    first_try,
    workload_of,
)
from resources.clouds.kubernetes.owned import replica_sets
from resources.clouds.kubernetes.recovery_settings import Workload
from resources.clouds.kubernetes.said import done, foreign, gone
from resources.clouds.kubernetes.templates import (
    Template,
    annotated,
    annotation_of,
    container_for,
    images_of,
    images_text,
    template_of,
    with_images,
)
from resources.recovery.steps import failed, running


def update(hands: Hands, operation: Operation) -> Progress:
    """One step of bringing a workload to the operation's image, pod by pod."""
    workload, before = workload_of(operation.target), operation.before
    image = image_for(operation)
    found = hands.calls.read(workload.path)
    if found is None or not is_same(found, before):
        return gone(workload)
    images = {**before["images"], container_for(before["containers"], image): image}
    if is_ours(found, operation):
        if images_of(template_of(found)) != images:
            return foreign(workload)
        taken = follow(hands, operation, workload, found)
        return taken or done(f"{workload} runs {image}: every pod is available.", _id(operation))
    again = _tried_before(found, operation)
    if not again and not is_untouched(found, before):
        return foreign(workload, "was changed since it was captured,")
    if _is_taken_back(hands, operation, found):
        return foreign(workload, "was rolled back")
    check_free(workload, found, again=again)
    wanted = with_images(template_of(found), images)
    if again:
        # Pods that did not come up are started anew, or its deadline would still be over.
        wanted = annotated(wanted, RESTARTED, operation.token)
    ask(hands, operation, workload, found, wanted)
    return running(f"{workload} is asked to run {image}.", poll_seconds=1)


def restart(hands: Hands, operation: Operation) -> Progress:
    """One step of starting every pod of a workload anew, as `kubectl rollout restart` does."""
    workload = workload_of(operation.target)
    found = hands.calls.read(workload.path)
    if found is None:
        return gone(workload)
    if is_ours(found, operation):
        if annotation_of(template_of(found), RESTARTED) != operation.token:
            return foreign(workload)
        taken = follow(hands, operation, workload, found)
        return taken or done(f"{workload}: every pod was started anew.", _id(operation))
    if _is_taken_back(hands, operation, found):
        return foreign(workload, "was rolled back")
    check_free(workload, found, again=_tried_before(found, operation))
    wanted = annotated(template_of(found), RESTARTED, operation.token)
    ask(hands, operation, workload, found, wanted)
    return running(f"{workload} is asked to start its pods anew.", poll_seconds=1)


def put_back(hands: Hands, operation: Operation) -> Progress:
    """One step of taking back what was changed in a pod template, until all is available."""
    workload, before = workload_of(operation.target), operation.before
    found = hands.calls.read(workload.path)
    if found is None or not is_same(found, before):
        return failed(f"{workload} was deleted by somebody else; deploy it anew.")
    template = template_of(found)
    wanted = undone(template, before)
    if template == wanted:
        taken = follow(hands, operation, workload, found)
        return taken or done(_back(workload, untouched=is_untouched(found, before)), _id(operation))
    if is_ours(found, operation) or not left_by_us(found, before):
        return foreign(workload)
    ask(hands, operation, workload, found, wanted)
    return running(f"{workload} is asked to run as it was.", poll_seconds=1)


def _back(workload: Workload, *, untouched: bool) -> str:
    if untouched:
        return f"{workload} runs as it was: every pod is available."
    return (
        f"{workload} runs its images as before, and every pod is available. What somebody else "
        "changed meanwhile in the rest of its template is kept."
    )


def ask(
    hands: Hands,
    operation: Operation,
    workload: Workload,
    found: Object,
    template: Template,
    **more: object,
) -> None:
    """Give a workload a template, with the operation's marks; by the same patch more parts."""
    hands.put(
        workload.path,
        found,
        marks_for(operation, found, template),
        spec__template=template,
        **more,
    )


def marks_for(operation: Operation, found: Object, template: Template) -> dict[str, str | None]:
    """What is noted on a workload that an operation leaves with a template."""
    return {
        OPERATION: operation.token,
        FIRST: first_try(operation),
        IMAGES: images_text(template),
        SEEN: progress_seen(found) or None,
    }


def is_ours(found: Object, operation: Operation) -> bool:
    """Whether a workload was changed last by this very operation, as far as its marks say."""
    return annotations_of(found).get(OPERATION) == operation.token


def left_by_us(found: Object, before: Captured) -> bool:
    """Whether a workload still has the images some operation since `before` left it with."""
    marks = annotations_of(found)
    since = marks.get(OPERATION) not in (None, before["operation"])
    return since and marks.get(IMAGES) == images_text(template_of(found))


def image_for(operation: Operation) -> str:
    """The image an operation is to bring.

    Raises:
        Rejected: it names none.
    """
    if not operation.image:
        raise Rejected(f"{operation.target.key}: name the image it is to run.")
    return operation.image


def _tried_before(found: Object, operation: Operation) -> bool:
    """Whether an earlier try of this operation changed a workload, and nobody else since."""
    earlier = operation.parameters.get(FIRST_TRY)
    marks = annotations_of(found)
    return (
        earlier is not None
        and marks.get(FIRST) == earlier
        and marks.get(IMAGES) == images_text(template_of(found))
    )


def _is_taken_back(hands: Hands, operation: Operation, found: Object) -> bool:
    """Whether this very operation changed a workload, although it bears no mark of it any more.

    `kubectl rollout undo` takes our marks away with the template; the ReplicaSet that was made for
    the template keeps the copy its controller made of them. Other kinds have no such copy.
    """
    sets = replica_sets(hands, found) if found["kind"] == "Deployment" else ()
    return any(is_ours(item, operation) for item in sets)


def _id(operation: Operation) -> str:
    return operation.target.id
