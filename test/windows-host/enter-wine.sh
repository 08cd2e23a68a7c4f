#!/bin/sh
# Runs the relay in the folder $1 with a Windows program in the folder $2, and ends it when this shell is killed. What
# Wine itself says goes to a file: processes that it leaves running keep that descriptor, which must not be the caller's.
relay=$1
cd "$2"
shift 2
errors=$(mktemp -u "$relay/XXXXXX")
mkfifo "$errors"
cat "$errors" >&2 &
setpriv --pdeathsig KILL /usr/lib/wine/wine64 "$relay/stdio-relay.exe" "Z:$errors" "$@" 2>>"$relay/wine.log"
status=$?
wait
rm "$errors"
exit $status
