"""Holds rendered objects against the schemas of Kubernetes, strictly: chart.py VERSION=FILE..., one line for each finding.

A list of objects is a file of YAML documents. Kinds that Kubernetes itself does not have are named on standard error and
not looked at.
"""

import functools
import sys

import kubernetes_validate
import yaml
from kubernetes_validate import utils

# Kinds of operators, whose schemas are not Kubernetes' own.
FOREIGN = ("monitoring.coreos.com/", "gateway.networking.k8s.io/")

# The definitions of a version are read for every object otherwise.
utils.schema_contents = functools.lru_cache(maxsize=None)(utils.schema_contents)
Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def findings(version, file):
    with open(file, encoding="utf-8") as stream:
        for document in yaml.load_all(stream, Loader=Loader):
            if document is None:
                continue
            name = f"{document['kind']} {document['metadata']['name']}"
            if document["apiVersion"].startswith(FOREIGN):
                print(f"not looked at: {name}", file=sys.stderr)
                continue
            try:
                kubernetes_validate.validate(document, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                path = ".".join(str(part) for part in error.path)
                yield f"{file}: {name}, Kubernetes {version}: {path}: {error.message}"
            except kubernetes_validate.SchemaNotFoundError as error:
                yield f"{file}: {name}: {error.message}"


def main():
    found = [line for argument in sys.argv[1:] for line in findings(*argument.split("=", 1))]
    print("\n".join(found))
    sys.exit(1 if found else 0)


main()
