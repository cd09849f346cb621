#!/usr/bin/env bash
# nginx with Nchan, messages in memory. WORKERS=n worker processes (default 1).
NAME=nchan
. "$(dirname "$0")/common.sh"
install() { apt_install nginx libnginx-mod-nchan; }
launch() {
    free_port 127.0.0.1 19101
    mkdir -p "$DIR/logs" "$DIR/tmp"
    cat >"$DIR/nginx.conf" <<CONF
load_module /usr/lib/nginx/modules/ngx_nchan_module.so;
worker_processes ${WORKERS:-1};
pid $DIR/nginx.pid;
daemon off;
error_log $DIR/logs/error.log warn;
events { worker_connections $((NOFILE - 50)); }
http {
    access_log off;
    client_body_temp_path $DIR/tmp/body;
    proxy_temp_path $DIR/tmp/proxy;
    fastcgi_temp_path $DIR/tmp/fastcgi;
    uwsgi_temp_path $DIR/tmp/uwsgi;
    scgi_temp_path $DIR/tmp/scgi;
    keepalive_requests 100000000;
    keepalive_timeout 600s;
    tcp_nodelay on;
    nchan_shared_memory_size 1024M;
    nchan_message_buffer_length 1000;
    nchan_message_timeout 300s;
    server {
        listen 127.0.0.1:19101 backlog=4096;
        location ~ ^/pub/(.+)\$ { nchan_publisher http; nchan_channel_id \$1; }
        location ~ ^/sub/(.+)\$ { nchan_subscriber eventsource; nchan_channel_id \$1; }
        location ~ ^/poll/(.+)\$ { nchan_subscriber longpoll; nchan_channel_id \$1; }
    }
}
CONF
    PATH=$PATH:/usr/sbin $RUN nginx -c "$DIR/nginx.conf" -p "$DIR" >"$LOG" 2>&1 &
    echo $! >"$PIDS"
    wait_port 127.0.0.1 19101
}
main "$@"
