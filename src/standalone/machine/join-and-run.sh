#!/bin/sh
# usage: join-and-run.sh CGROUP_PROCS_FILE... -- COMMAND ARGUMENT...
# Enters every given cgroup, then becomes the command: children of it are never outside.
set -eu
while [ "$1" != -- ]; do
  echo "$$" > "$1"
  shift
done
shift
exec "$@"
