#!/bin/sh
# leash.sh [--remove FOLDER] PROGRAM ARGS…
# Runs a program until it ends or until our input ends, which it does whichever way the one who started us goes. A folder that was only
# for this run goes with it. Nothing is known here of what the program is.
remove=
if [ "$1" = --remove ]; then
    remove=$2
    shift 2
fi
exec 3<&0
"$@" </dev/null 3<&- &
program=$!
(
    # SIGINT reaches everything on a terminal; only the end of the input counts here.
    trap '' INT
    read -r _ <&3
    kill -TERM "$program"
    sleep 10
    kill -KILL "$program"
) >/dev/null 2>&1 &
watch=$!
exec 3<&-
trap 'kill -TERM "$program" 2>/dev/null' TERM HUP
trap : INT
status=0
while kill -0 "$program" 2>/dev/null; do
    wait "$program"
    status=$?
done
kill "$watch" 2>/dev/null
if [ -n "$remove" ]; then
    rm -rf "$remove"
fi
exit "$status"
