#!/usr/bin/env bats
# python's asyncio: accepts a backlog at a time from one thread.

load questions

note="one process serves all; killed and started again, it finds its table without the dead (6)"
program=/usr/bin/python3
protocol=echo

ready() { needs /usr/bin/python3; }

start() {
	cat >"$here/server.py" <<-PYTHON
		import asyncio

		async def serve(reader, writer):
		    while line := await reader.readline():
		        writer.write(line)
		        await writer.drain()
		    writer.close()

		async def main():
		    async with await asyncio.start_server(serve, "127.0.0.1", $port) as server:
		        await server.serve_forever()

		asyncio.run(main())
	PYTHON
	launch /usr/bin/python3 "$here/server.py"
}

@test "1. N are served, the next is refused, another address is not concerned" { holds_the_limit; }
@test "2. after a close the next is admitted at once" { admits_after_a_close; }
@test "3. after many rounds the count is zero, and true" { counts_true_after_rounds; }
@test "4. the limit is raised and lowered by SIGHUP and by connlimit reload" { limit_changes; }
@test "5. no new complaint in log or exit status" { no_new_complaint; }
@test "6. kill -9 of what serves frees its clients" { kill_frees_clients; }
@test "7. stop and restart leave nothing behind" { leaves_nothing_behind; }
@test "8. after a refusal others are served at once" { serves_others_at_once; }
