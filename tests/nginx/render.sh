#!/usr/bin/env bash
# Makes the shipped nginx/teawire.conf runnable in a folder of its own: loopback ports, own certificate, logs and
# temporary files. What is tested is the file that operators copy; only addresses and paths differ.
#
#   render.sh PORT_HTTP_UPSTREAM PORT_TLS DIR      several nodes: PORT,PORT,PORT
#
# Then: nginx -p DIR -c DIR/nginx.conf -e DIR/logs/start.log   (stays in the foreground; SIGTERM ends it)
set -euo pipefail

[ $# -eq 3 ] || { echo "usage: render.sh PORT_HTTP_UPSTREAM PORT_TLS DIR" >&2; exit 2; }
upstream=$1 tls=$2
mkdir -p "$3"
dir=$(cd "$3" && pwd)
shipped=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../nginx" && pwd)
mkdir -p "$dir"/{conf.d,teawire,logs,temp}

if [ ! -s "$dir/cert.pem" ]; then
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost \
        -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout "$dir/key.pem" -out "$dir/cert.pem" 2>"$dir/logs/openssl.log"
fi

servers=""
for port in ${upstream//,/ }; do servers="$servers    server 127.0.0.1:$port max_fails=3 fail_timeout=5s;\\n"; done

# The tests run on IPv4 loopback, so the IPv6 listener goes.
sed -e "s|^    server 127\.0\.0\.1:8080;.*|${servers%\\n}|" \
    -e "s|^    listen 443 |    listen 127.0.0.1:$tls |" \
    -e '/^    listen \[::\]:443 /d' \
    -e "s|^    ssl_certificate  .*|    ssl_certificate $dir/cert.pem;|" \
    -e "s|^    ssl_certificate_key .*|    ssl_certificate_key $dir/key.pem;|" \
    -e "s|/var/log/nginx/|$dir/logs/|" \
    "$shipped/teawire.conf" >"$dir/conf.d/teawire.conf"
sed -e "s|/var/log/nginx/|$dir/logs/|" "$shipped/stream.inc" >"$dir/teawire/stream.inc"

# A line that changed its shape in the shipped file would slip through the patterns above and reach for the real system.
for left in '/etc/' '/var/' ' 443 ' ':8080;' '\[::\]'; do
    if sed 's/#.*//' "$dir/conf.d/teawire.conf" "$dir/teawire/stream.inc" | grep -n -- "$left" >&2; then
        echo "render.sh: the shipped file still says $left: mend the patterns here" >&2
        exit 1
    fi
done

# The surroundings are unkind on purpose: compression of everything, as a busy operator may have it.
{
    [ "$(id -u)" != 0 ] || echo "user $(id -un);"
    cat <<CONF
daemon off;
worker_processes 1;
worker_shutdown_timeout 2s;
pid $dir/nginx.pid;
error_log $dir/logs/error.log;
events { worker_connections 4096; }
http {
    default_type application/octet-stream;
    access_log $dir/logs/other.access.log;
    gzip on;
    gzip_proxied any;
    gzip_types text/event-stream application/json;
    client_body_temp_path $dir/temp/body;
    proxy_temp_path $dir/temp/proxy;
    fastcgi_temp_path $dir/temp/fastcgi;
    uwsgi_temp_path $dir/temp/uwsgi;
    scgi_temp_path $dir/temp/scgi;
    include conf.d/teawire.conf;
}
CONF
} >"$dir/nginx.conf"
echo "$dir/nginx.conf"
