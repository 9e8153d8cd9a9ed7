# Runs the fault in the foreground: this command is InProgress as long as the fault is on. Each host finds its own
# part by its instance id.
umask 077
@TELL@
if [ "$(date +%s)" -gt @NOT_AFTER@ ]; then
    echo "this command came too late and nothing was done (or the host's clock is wrong)" >&2
    exit 1
fi
@CHOOSE@
@LOCATE@
# The report of many targets may be longer than what SSM shows.
if [ "${#spec}" -gt 3000 ]; then
    tell "$agent" run --output json --spec "$spec"
    exit
fi
exec "$agent" run --output json --spec "$spec"
