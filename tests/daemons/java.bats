#!/usr/bin/env bats
# Java: threads over a socket of both address families, so that IPv4 peers are v4-mapped; a descriptor that another thread is blocked
# on is closed by dup2 over it.

load questions

note="one process serves all; killed and started again, it finds its table without the dead (6); SIGHUP ends it, as without us; the limit is changed by connlimit reload (4)"
program=java
protocol=echo
on_hangup=ends # the virtual machine's own handler ends it in good order, as without us

ready() {
	needs java
	java -version 2>&1 | grep -q . || skip "java does not start"
}

start() {
	cat >"$here/Server.java" <<-JAVA
		import java.io.*;
		import java.net.*;

		public class Server {
		    public static void main(String[] arguments) throws Exception {
		        ServerSocket listener = new ServerSocket($port, 128);
		        while (true) {
		            Socket client = listener.accept();
		            Thread thread = new Thread(() -> serve(client));
		            thread.setDaemon(true);
		            thread.start();
		        }
		    }

		    static void serve(Socket client) {
		        try (client) {
		            client.getInputStream().transferTo(client.getOutputStream());
		        } catch (IOException gone) {
		            // a client's
		        }
		    }
		}
	JAVA
	launch java -Xshare:auto -XX:TieredStopAtLevel=1 -XX:+UseSerialGC "$here/Server.java"
}

@test "1. N are served, the next is refused, another address is not concerned" { holds_the_limit; }
@test "2. after a close the next is admitted at once" { admits_after_a_close; }
@test "3. after many rounds the count is zero, and true" { counts_true_after_rounds; }
@test "4. the limit is raised and lowered by SIGHUP and by connlimit reload" { limit_changes; }
@test "5. no new complaint in log or exit status" { no_new_complaint; }
@test "6. kill -9 of what serves frees its clients" { kill_frees_clients; }
@test "7. stop and restart leave nothing behind" { leaves_nothing_behind; }
@test "8. after a refusal others are served at once" { serves_others_at_once; }

@test "java: a connection that another thread closes, by dup2 over it, is let go" {
	limit_is 1
	cat >"$here/Closer.java" <<-JAVA
		import java.net.*;

		public class Closer {
		    public static void main(String[] arguments) throws Exception {
		        ServerSocket listener = new ServerSocket($port, 128);
		        while (true) {
		            Socket client = listener.accept();
		            Thread reader = new Thread(() -> {
		                try {
		                    client.getOutputStream().write("hello\n".getBytes());
		                    while (client.getInputStream().read() >= 0) { }
		                } catch (Exception closed) {
		                    // by the other thread
		                }
		            });
		            reader.start();
		            Thread.sleep(50);
		            client.close();
		            reader.join();
		        }
		    }
		}
	JAVA
	launch java -Xshare:auto -XX:TieredStopAtLevel=1 -XX:+UseSerialGC "$here/Closer.java"
	# Each one after the other, as its predecessor is closed by the daemon: none may be refused for it.
	python3 - "$port" <<-'PYTHON'
		import socket
		import sys

		for i in range(20):
		    with socket.create_connection(("127.0.0.1", int(sys.argv[1])), 30) as s:
		        got = b""
		        while more := s.recv(100):
		            got += more
		        assert got == b"hello\n", (i, got)
	PYTHON
	until_true counted_is 127.0.0.1 0
}
