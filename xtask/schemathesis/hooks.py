"""What is known of trueup that its document cannot say."""

import os
import re

import schemathesis
from schemathesis.checks import CheckContext

# A request that fits the document and is refused with 422: by these rules alone, each about something that a schema
# cannot say. Any other such refusal is a violation: the document lacks a limit, or the service is too strict.
RULES = [
    # A cursor is given by the list that it belongs to.
    (r"cursor", r"it was not given by this list"),
    # What is named is looked up.
    (r"customers", r"there is no customer `.*"),
    (r"board", r"there is no service board .*"),
    (r"code", r"there is no exception code .*"),
    (r"rights", r"`.*` is no right"),
    (r"events", r"`.*` is none of .*"),
    (r"currency", r"`.*` is no code of ISO 4217"),
    (r"body", r"`?host `.*` is not allowed.*"),
    (r"url", r"(it is no address|the address|a webhook|it |host).*"),
    # A table has a line.
    (r"body", r"it is empty"),
    # One of several fields, or one that another one asks for.
    (r"kind|catalog_item_id|plan_id", r".*one of the (two|three) alone"),
    (r"clean_of|reconcile", r"name .* or a .*, not both"),
    (r"plan_id", r"name the plan|only `apply` carries a plan out"),
    (r"parent", r"name the organization above.*"),
    (r"psa_id", r"the id in ConnectWise is missing"),
    (r"options|scope", r"a mapping of kind .* has no (option|scope).*"),
    (r"options.*", r".*(reason|expir|option|value).*"),
    (r"source_id", r"`.*` names no line; .*"),
    (r"reason", r"say why"),
    (r"until", r"name the day"),
    (r"fill", r"it belongs to one company; .*"),
    (r"approve", r"a preview writes nothing"),
    (r"values", r"name one at least|a rule has no .*|`.*"),
    # What a setting takes depends on its key.
    (r"value", r".* is not a value of .*"),
    # Periods, and amounts in text.
    (r"reconcile\.end", r".*"),
    (r"edits.*|body", r".*(amount|decimal|number|quantity|price|cost|key|text|line|leave).*"),
    (r"rule", r".*"),
    # Mail takes less than the standard lets through.
    (r"email", r"it is no e-mail address"),
]

OWN_TOKEN = os.environ.get("TRUEUP_TOKEN_ID", "")


@schemathesis.hook
def filter_path_parameters(context, path_parameters):
    """Leaves the run what it needs: the token that it calls with, and the connection to the sandbox."""
    path_parameters = path_parameters or {}
    if path_parameters.get("token") == OWN_TOKEN:
        return False
    path = context.operation.path if context.operation else ""
    removes = context.operation is not None and context.operation.method.lower() == "delete"
    return not (removes and path.endswith("/connections/{connection}") and path_parameters.get("connection") == "sandbox")


@schemathesis.check
def what_fits_the_document_is_taken(ctx: CheckContext, response, case):
    """`positive_data_acceptance`, with each rule that a schema cannot say by name."""
    if case.meta is None or not case.meta.generation.mode.is_positive or response.status_code != 422:
        return None
    problem = response.json()
    for fault in problem.get("fields") or [{"field": "body", "reason": problem.get("detail", "")}]:
        known = any(re.fullmatch(f, fault["field"]) and re.fullmatch(r, fault["reason"], re.S) for f, r in RULES)
        if not known:
            raise AssertionError(f"refused though it fits the document: {fault['field']}: {fault['reason']}")
    return None
