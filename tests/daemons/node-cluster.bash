# How node's cluster is started, whichever way it serves ($scheduling).
# shellcheck shell=bash disable=SC2034,SC2154

ready() { needs node; }
program=node
protocol=http
rounds_asked=300

start() {
	cat >"$here/server.js" <<-NODE
		const cluster = require('cluster');
		cluster.schedulingPolicy = cluster.$scheduling;
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
