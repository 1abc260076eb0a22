#!/usr/bin/env bash
# Two machines in one: runs a program as rank 0 and 1 in two network namespaces, which see each other
# over a link of so many bits a second (and, where the kernel has netem, with so much delay):
#     RATE=1gbit DELAY=0.1ms bench/two_machines.sh python bench/ranks.py
# For root on Linux, with ip, tc and MPICH's mpiexec. Open MPI and others would share memory.
set -euo pipefail

rate=${RATE:-1gbit} delay=${DELAY:-} launcher=$(mktemp)
trap 'ip netns del fastrnn1; ip netns del fastrnn2; rm -f "$launcher"' EXIT
ip netns add fastrnn1
ip netns add fastrnn2
ip link add fastrnn1 netns fastrnn1 type veth peer name fastrnn2 netns fastrnn2
for i in 1 2; do
    ip -n fastrnn$i link set lo up
    ip -n fastrnn$i addr add 10.97.0.$i/24 dev fastrnn$i
    ip -n fastrnn$i link set fastrnn$i up
    if [ -n "$delay" ]; then
        ip netns exec fastrnn$i tc qdisc add dev fastrnn$i root netem rate "$rate" delay "$delay"
    else
        ip netns exec fastrnn$i tc qdisc add dev fastrnn$i root tbf rate "$rate" burst 256k latency 50ms
    fi
done

# in place of ssh: flags, the host, the command
cat >"$launcher" <<'END'
#!/usr/bin/env bash
while [ "${1#-}" != "$1" ]; do shift; done
host=$1
shift
exec ip netns exec fastrnn${host##*.} bash -c "$*"
END
chmod +x "$launcher"

export UCX_TLS=tcp,self FI_PROVIDER=tcp     # no shared memory
ip netns exec fastrnn1 mpiexec -localhost 10.97.0.1 -launcher ssh -launcher-exec "$launcher" \
    -hosts 10.97.0.1,10.97.0.2 -ppn 1 -n 2 "$@"
