"""What schemathesis may not do while it tries the admin API: take away what it signs in with.

Loaded by schemathesis itself, by SCHEMATHESIS_HOOKS.
"""

import os

import schemathesis

# The id of the admin key of the run. Were it revoked or replaced, everything after it would be answered 401, and nothing tried.
OWN = os.environ.get("ADMIN_API_OWN_KEY", "")


@schemathesis.hook
def filter_case(context, case):
    changes = case.method.upper() in ("DELETE", "POST")
    parameters = case.path_parameters if isinstance(case.path_parameters, dict) else {}
    return not (changes and OWN and parameters.get("id") == OWN)
