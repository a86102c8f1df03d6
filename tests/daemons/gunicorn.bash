# How gunicorn is started, with either kind of worker ($workers).
# shellcheck shell=bash disable=SC2034,SC2154

program=gunicorn
protocol=http
rounds_asked=200

ready() { needs gunicorn; }

# A worker of the kind "sync" has one client, and closes behind its answer; so this one is at its answer until the client has gone.
start() {
	cat >"$here/answer.py" <<-'PYTHON'
		def at_once(environment, start):
		    start("200 OK", [("Content-Length", "6")])
		    return [b"hello\n"]

		def slowly(environment, start):
		    start("200 OK", [])
		    yield b"hello\n"
		    try:
		        environment["gunicorn.socket"].recv(1)
		    except OSError:
		        pass
	PYTHON
	launch gunicorn --chdir "$here" --bind "127.0.0.1:$port" --timeout 0 --graceful-timeout 1 --worker-tmp-dir "$here" "${workers[@]}"
}
