#!/usr/bin/env bats
# node's cluster: a master that binds and passes the listener, workers that listen and accept.

load questions

program=node
protocol=http
rounds_asked=300

ready() { needs node; }

start() {
	cat >"$here/server.js" <<-NODE
		const cluster = require('cluster');
		cluster.schedulingPolicy = cluster.SCHED_NONE;
		if (cluster.isMaster) {
			for (let i = 0; i < 2; i++) cluster.fork();
			cluster.on('exit', () => cluster.fork());
		} else {
			const server = require('http').createServer((_, answer) => answer.end('hello\n'));
			server.keepAliveTimeout = 300000;
			server.listen($port, '127.0.0.1');
		}
	NODE
	launch node "$here/server.js"
}

@test "1. N are served, the next is refused, another address is not concerned" { holds_the_limit; }
@test "2. after a close the next is admitted at once" { admits_after_a_close; }
@test "3. after many rounds the count is zero, and true" { counts_true_after_rounds; }
@test "4. the limit is raised and lowered by SIGHUP and by connlimit reload" { limit_changes; }
@test "5. no new complaint in log or exit status" { no_new_complaint; }
@test "6. kill -9 of what serves frees its clients" { kill_frees_clients; }
@test "7. stop and restart leave nothing behind" { leaves_nothing_behind; }
@test "8. after a refusal others are served at once" { serves_others_at_once; }
