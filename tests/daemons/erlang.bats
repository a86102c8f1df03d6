#!/usr/bin/env bats
# Erlang: gen_tcp over the socket backend, where a process that accepts ends if nobody is there after all.

load questions

note="one process serves all; killed and started again, it finds its table without the dead (6)"
program=erl
protocol=echo

ready() {
	needs erl erlc
	cat >"$here/echo.erl" <<-'ERLANG'
		-module(echo).
		-export([main/1]).
		main([Port]) ->
		    {ok, Listener} = gen_tcp:listen(list_to_integer(atom_to_list(Port)),
		        [{inet_backend, socket}, {ip, {127,0,0,1}}, {active, false}, {reuseaddr, true}, binary, {backlog, 128}]),
		    accept(Listener).
		accept(Listener) ->
		    {ok, Socket} = gen_tcp:accept(Listener),
		    Pid = spawn(fun() -> receive go -> talk(Socket) end end),
		    gen_tcp:controlling_process(Socket, Pid),
		    Pid ! go,
		    accept(Listener).
		talk(Socket) ->
		    case gen_tcp:recv(Socket, 0) of
		        {ok, Bytes} -> gen_tcp:send(Socket, Bytes), talk(Socket);
		        {error, _} -> gen_tcp:close(Socket)
		    end.
	ERLANG
	(cd "$here" && erlc echo.erl)
}

start() { ERL_CRASH_DUMP=/dev/null launch erl -noshell -noinput -pa "$here" -s echo main "$port"; }

@test "1. N are served, the next is refused, another address is not concerned" { holds_the_limit; }
@test "2. after a close the next is admitted at once" { admits_after_a_close; }
@test "3. after many rounds the count is zero, and true" { counts_true_after_rounds; }
@test "4. the limit is raised and lowered by SIGHUP and by connlimit reload" { limit_changes; }
@test "5. no new complaint in log or exit status" { no_new_complaint; }
@test "6. kill -9 of what serves frees its clients" { kill_frees_clients; }
@test "7. stop and restart leave nothing behind" { leaves_nothing_behind; }
@test "8. after a refusal others are served at once" { serves_others_at_once; }
