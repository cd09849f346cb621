# Sourced by the scripts beside it. A script sets NAME, defines `install` (gets
# the server, if it is not there yet) and `launch` (starts it in the background
# and writes its process ids to $PIDS), and calls `main "$@"`.
#
# Every server stays in the foreground of its script's session: one that
# daemonizes leaves the scheduling group of the others and is measured apart.
set -eu
HERE=$(cd "$(dirname "$0")" && pwd)
BENCH=$(dirname "$HERE")
STATE=${BENCH_STATE:-/tmp/teawire-bench}
DIR=$STATE/$NAME
PIDS=$STATE/$NAME.pid
LOG=$DIR/server.log
# CPUS=0 pins the server to CPU 0.
RUN="taskset -c ${CPUS:-0-$(($(nproc) - 1))}"
ulimit -n "$(ulimit -Hn)"
NOFILE=$(ulimit -n)

listens() { (exec 3<>"/dev/tcp/$1/$2") 2>/dev/null; } # host port

free_port() { # host port: else another server would be measured in this one's place
    if listens "$1" "$2"; then
        echo "$NAME: something else listens on $1:$2" >&2
        return 1
    fi
}

wait_port() { # host port
    for _ in $(seq 300); do
        if listens "$1" "$2"; then return 0; fi
        runs "$(head -1 "$PIDS")" || break
        sleep 0.05
    done
    echo "$NAME: nothing listens on $1:$2" >&2
    tail -5 "$LOG" >&2 || true
    return 1
}

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

apt_install() { # packages; their services are not started
    dpkg -s "$@" >/dev/null 2>&1 && return 0
    as_root env RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive \
        apt-get install -y --no-install-recommends "$@" >/dev/null
}

# A process that has ended and was not waited for yet runs no more.
runs() { grep -q '^State:[[:space:]]*[^ZX[:space:]]' "/proc/$1/status" 2>/dev/null; } # pid

stop() {
    [ -f "$PIDS" ] || return 0
    for pid in $(cat "$PIDS"); do kill "${SIGNAL:--TERM}" "$pid" 2>/dev/null || true; done
    for pid in $(cat "$PIDS"); do
        for _ in $(seq 200); do
            runs "$pid" || break
            sleep 0.02
        done
        kill -KILL "$pid" 2>/dev/null || true
    done
    rm -f "$PIDS"
}

main() {
    mkdir -p "$DIR"
    case ${1:-} in
        install) install ;;
        start)
            stop
            install
            launch
            ;;
        stop) stop ;;
        *)
            echo "usage: $0 install|start|stop   (environment: CPUS, WORKERS, BENCH_STATE)" >&2
            exit 2
            ;;
    esac
}
