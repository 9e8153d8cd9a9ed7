#!/bin/sh
# Behaves like httpfault-agent as far as httpfault-ctl can see: same command line, same JSON, state in /run/httpfault.
# STUB_MODE changes what it does; every spec it gets is kept in STUB_SPECS.
# A killed process that nobody has reaped yet is not alive.
alive() { readlink "/proc/$1/exe" >/dev/null 2>&1; }
now() { date -u +%Y-%m-%dT%H:%M:%SZ; }
each_target() {
    comma=
    printf '%s\n' "$1" | while read -r kind id; do
        [ -n "$id" ] || continue
        printf '%s' "$comma"
        comma=,
        printf "$2" "$kind" "$id"
    done
}
targets_of() { printf '%s\n' "$1" | grep -o '{"kind":"[a-z]*","id":"[^"]*"' | sed 's/{"kind":"\([a-z]*\)","id":"\([^"]*\)"/\1 \2/'; }
fault() {
    phase=on
    alive "$(cat "$1/pid")" || phase=stale
    printf '{"experiment_id":"%s","phase":"%s","agent_pid":%s,"injected_at":"%s","port":80,"status_code":503,"targets":[' \
        "${1##*/}" "$phase" "$(cat "$1/pid")" "$(cat "$1/at")"
    each_target "$(cat "$1/targets")" '{"target":"%s %s","outcome":"faulted","counters":{"faulted":3}}'
    printf ']}'
}
case $1 in
run)
    spec=
    while [ $# -gt 0 ]; do
        [ "$1" != --spec ] || spec=$2
        shift
    done
    json=$(printf %s "$spec" | base64 -d)
    [ -z "${STUB_SPECS:-}" ] || printf %s "$json" >"$STUB_SPECS/$AWS_SSM_INSTANCE_ID.$$.json"
    id=$(printf %s "$json" | sed 's/^{"experiment_id":"\([^"]*\)".*/\1/')
    duration=$(printf %s "$json" | grep -o '"duration_secs":[0-9]*' | head -n 1 | cut -d: -f2)
    targets=$(targets_of "$json")
    if [ "${STUB_MODE:-}" = refuse ]; then
        printf '{"event":"refused","ready":false,"experiment_id":"%s","problems":[{"subject":"port 80","problem":"nobody listens","next":"start the application"}],"targets":[]}\n' "$id"
        exit 1
    fi
    while [ "${STUB_MODE:-}" = late ] && [ ! -e /run/httpfault/.begin ]; do sleep 0.05; done
    state=/run/httpfault/$id
    if ! mkdir "$state" 2>/dev/null; then
        printf '{"event":"already_running",%s\n' "$(fault "$state" | cut -c2-)"
        exit 0
    fi
    echo $$ >"$state/pid"
    now >"$state/at"
    printf '%s\n' "$targets" >"$state/targets"
    printf '{"event":"injected","experiment_id":"%s","at":"%s","deadline":"%s","targets":[' "$id" "$(now)" "$(now)"
    each_target "$targets" '{"target":"%s %s","found":"web","source":"docker"}'
    printf ']}\n'
    # In whole seconds it is up to one too short; STUB_LONGER makes that up.
    end=$(($(date +%s) + duration + ${STUB_LONGER:-0}))
    # On a busy machine a look may come late: it stays on until somebody has looked, half a minute at most.
    over() {
        clock=$(date +%s)
        [ "$clock" -ge "$end" ] || return 1
        [ -f "$state/seen" ] || [ "${STUB_MODE:-}" = unwatched ] || [ "$clock" -ge $((end + 30)) ]
    }
    reason=deadline
    while ! over; do
        [ ! -f "$state/stop" ] || { reason=request; break; }
        [ "${STUB_MODE:-}" != gone ] || { reason=target_gone; break; }
        sleep 0.05
    done
    outcome=faulted
    count='{"faulted":7,"requests_http11":7}'
    [ "${STUB_MODE:-}" != quiet ] || { outcome=no_traffic; count='{}'; }
    [ "$reason" != target_gone ] || outcome=target_gone
    at=$(cat "$state/at")
    case ${STUB_MODE:-} in leaves | stays) ;; *) rm -rf "$state" ;; esac
    left=
    case ${STUB_MODE:-} in filter | filters)
        left=',"left_behind":[{"what":"a TC filter","error":"busy","remove_with":"httpfault-agent remove --all"}]'
        ;;
    esac
    printf '{"event":"removed","exit":0,"experiment_id":"%s","reason":"%s","injected_at":"%s","removed_at":"%s","targets":[' \
        "$id" "$reason" "$at" "$(now)"
    each_target "$targets" '{"target":"%s %s","outcome":"'$outcome'","counters":'$count'}'
    history=',"history":{"from":"'$at'","step_ms":1000,"steps":4,"faulted":[2,4,1],"spared":[0,1,0,2]}'
    [ "${STUB_MODE:-}" != quiet ] || history=
    case ${STUB_MODE:-} in
    hostile)
        left=$left',"warnings":["</text><script>alert(1)</script> | # `x` [y](javascript:z) \u001b\u0000"]'
        history=',"history":{"from":"9999-01-01T00:00:00Z","step_ms":18446744073709551615,"steps":4,"faulted":[1]}'
        ;;
    esac
    printf ']%s%s}\n' "$left" "$history"
    ;;
status)
    first=1
    printf '{"faults":['
    for state in /run/httpfault/*/; do
        [ -d "$state" ] || continue
        [ -n "$first" ] || printf ,
        first=
        [ -f "$state/seen" ] || touch "$state/seen" 2>/dev/null
        fault "${state%/}"
    done
    printf ']}\n'
    ;;
remove)
    [ "${STUB_MODE:-}" != filters ] ||
        { echo '{"exit":3,"removed":[],"left_behind":[{"what":"a TC filter","error":"busy","remove_with":"tc"}]}'; exit 3; }
    [ "${STUB_MODE:-}" != stays ] || { echo '{"exit":1,"removed":[]}'; exit 1; }
    if [ "$2" = --all ]; then which=$(ls /run/httpfault); else which=$3; fi
    removed=
    for id in $which; do
        state=/run/httpfault/$id
        [ -d "$state" ] || continue
        how=swept
        if alive "$(cat "$state/pid")"; then
            how=ended
            touch "$state/stop"
            tries=100
            while [ -d "$state" ] && [ $tries -gt 0 ]; do
                sleep 0.05
                tries=$((tries - 1))
            done
        fi
        rm -rf "$state"
        removed="$removed,{\"experiment_id\":\"$id\",\"how\":\"$how\"}"
    done
    printf '{"exit":0,"removed":[%s]}\n' "${removed#,}"
    ;;
esac
