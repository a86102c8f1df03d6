# How apache2 is started, whichever way it serves ($mpm).
# shellcheck shell=bash disable=SC2034,SC2154

ready() { needs apache2; }
program=apache2

start() {
	mkdir -p "$here/www"
	echo hello >"$here/www/index.html"
	cat >"$here/apache2.conf" <<-APACHE
		ServerRoot "$here"
		ServerName test
		LoadModule mpm_${mpm}_module /usr/lib/apache2/modules/mod_mpm_$mpm.so
		LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
		LoadModule dir_module /usr/lib/apache2/modules/mod_dir.so
		LoadModule mime_module /usr/lib/apache2/modules/mod_mime.so
		TypesConfig /dev/null
		$( ((EUID != 0)) || echo User www-data)
		$( ((EUID != 0)) || echo Group www-data)
		PidFile $here/pid
		ErrorLog $here/log
		DefaultRuntimeDir $here
		Listen 127.0.0.1:$port
		StartServers 2
		KeepAlive On
		KeepAliveTimeout 300
		MaxKeepAliveRequests 0
		DocumentRoot $here/www
		<Directory />
			Require all granted
		</Directory>
	APACHE
	launch apache2 -f "$here/apache2.conf" -DFOREGROUND
}
