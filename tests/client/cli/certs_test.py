"""`pylabhub certs` and `pylabhub tls check` as a person runs them: what they write, say, and end with."""

import json
import os
import shutil
import socket
import stat
import subprocess
import tempfile
import threading
import unittest

import tool

BROKER = os.path.abspath("broker/pylabhub-broker")


class CertsTest(tool.ToolTest):
    def setUp(self):
        super().setUp()
        self.folder = tempfile.mkdtemp(prefix="pylabhub-certs-", dir=os.environ.get("TEST_TMPDIR"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.certs = os.path.join(self.folder, "certs")
        self.good("certs", "init", self.certs)

    def good(self, *arguments):
        """Runs the tool, which must succeed; returns its output as text."""
        code, output, errors = self.run_tool(*arguments)
        self.assertEqual(code, 0, errors)
        return output.decode()

    def show(self, name):
        code, output, errors = self.run_tool("certs", "show", os.path.join(self.certs, name), "--output", "json")
        self.assertIn(code, (0, 1), errors)
        return json.loads(output)

    def check(self, address, *arguments, certs=None):
        """Runs `tls check`; returns (exit code, the last step)."""
        options = ["--certs", certs] if certs else []
        code, output, errors = self.run_tool("tls", "check", address, "--output", "json", *options, *arguments)
        self.assertTrue(output, errors)
        return code, json.loads(output.decode().splitlines()[-1])

    def expect(self, code, fault, found):
        self.assertEqual((found[0], found[1]["fault"]), (code, fault), found[1])
        self.assertTrue(found[1]["mend"])

    def start_broker(self, *arguments):
        """A broker on these certificates; returns its address."""
        state = tempfile.mkdtemp(prefix="state-", dir=self.folder)
        files = [] if arguments else [
            "--ca=" + self.certs + "/ca.pem", "--server-cert=" + self.certs + "/server.pem",
            "--server-key=" + self.certs + "/server.key", "--revocations=" + self.certs + "/revocations.textproto"]
        open(os.path.join(self.certs, "revocations.textproto"), "a").close()
        broker = subprocess.Popen([BROKER, "--port=0", "--store=none", "--state-dir=" + state, *files, *arguments],
                                  stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.processes.append(broker)
        line = broker.stdout.readline().decode()
        self.assertIn("listening on", line)
        return line.split()[-1]

    # Making and withdrawing.

    def test_show_tells_the_identity_that_counts(self):
        self.good("certs", "issue", self.certs, "--name", "sampler", "--identity", "spiffe://lab.example/sampler")
        shown = self.show("sampler.pem")
        self.assertEqual(shown["identity"], "spiffe://lab.example/sampler")
        self.assertEqual(shown["use"], "client")
        self.assertEqual(shown["alternative_names"], ["URI:spiffe://lab.example/sampler"])
        self.assertEqual(shown["key_mode"], "0600")
        self.assertEqual(shown["faults"], [])
        self.assertIn("spiffe://lab.example/sampler", self.good("certs", "show", self.certs))

    def test_show_finds_a_key_that_others_can_read(self):
        os.chmod(self.certs + "/client.key", 0o644)
        self.assertIn("chmod 600", self.show("client.pem")["faults"][0])

    def test_renew_keeps_names_and_identity_and_changes_the_serial(self):
        for name in ("server", "client"):
            before = self.show(name + ".pem")
            self.good("certs", "renew", self.certs, "--name", name, "--days", "10")
            after = self.show(name + ".pem")
            for same in ("identity", "subject", "alternative_names", "use", "issuer"):
                self.assertEqual(after[same], before[same])
            self.assertNotEqual(after["serial"], before["serial"])
            self.assertEqual(after["faults"], [])

    def test_revoke_adds_to_the_file_and_show_says_so(self):
        self.good("certs", "revoke", self.certs, "--identity", "mallory")
        said = self.good("certs", "revoke", self.certs, "--name", "client", "--reason", "laptop stolen")
        self.assertIn("is now revoked", said)
        self.assertIn("was already", self.good("certs", "revoke", self.certs, "--name", "client"))
        self.assertEqual(self.show("client.pem")["faults"], ["is revoked (laptop stolen)"])
        with open(self.certs + "/revocations.textproto", encoding="utf-8") as file:
            self.assertIn('identity: "mallory"', file.read())

    def test_revoke_leaves_a_file_with_a_fault_alone(self):
        path = self.certs + "/revocations.textproto"
        with open(path, "w", encoding="utf-8") as file:
            file.write("revoked { serial: 'x' }")
        code, _, errors = self.run_tool("certs", "revoke", self.certs, "--identity", "mallory")
        self.assertNotEqual(code, 0)
        self.assertIn("revocations.textproto:1:1:", errors)
        with open(path, encoding="utf-8") as file:
            self.assertEqual(file.read(), "revoked { serial: 'x' }")

    def test_many_revocations_at_once_are_all_kept(self):
        processes = [self.start("certs", "revoke", self.certs, "--identity", f"client{i}") for i in range(8)]
        for process in processes:
            self.assertEqual(self.finish(process)[0], 0)
        with open(self.certs + "/revocations.textproto", encoding="utf-8") as file:
            self.assertEqual(file.read().count("identity:"), 8)
        self.assertEqual(stat.S_IMODE(os.stat(self.certs + "/revocations.textproto").st_mode), 0o644)

    def test_a_wrong_command_line_touches_nothing(self):
        self.assertEqual(self.run_tool("certs", "revoke", self.certs)[0], 2)
        self.assertEqual(self.run_tool("certs", "issue", self.certs, "--name", "x")[0], 2)
        self.assertEqual(self.run_tool("certs", "renew", self.certs, "--name", "ca")[0], 2)

    # What is wrong with a connection.

    def test_all_is_well(self):
        code, last = self.check(self.start_broker(), certs=self.certs)
        self.assertEqual((code, last["step"], last["fault"]), (0, "call", ""), last)
        self.assertIn("spiffe://pylabhub.local/client", last["message"])

    def test_a_unix_socket_can_be_checked(self):
        with tempfile.TemporaryDirectory(dir="/tmp") as short:
            path = short + "/socket"
            self.expect(10, "nobody_listens", self.check("unix:" + path, certs=self.certs))
            self.start_broker("--unix-socket=" + path, "--ca=" + self.certs + "/ca.pem",
                              "--server-cert=" + self.certs + "/server.pem",
                              "--server-key=" + self.certs + "/server.key")
            self.assertEqual(self.check("unix:" + path, certs=self.certs)[0], 0)
            for process in self.processes:
                process.terminate()
                process.wait(tool.PATIENCE_S)

    def test_nobody_listens(self):
        with socket.socket() as reserved:
            reserved.bind(("127.0.0.1", 0))
            found = self.check("127.0.0.1:%d" % reserved.getsockname()[1], certs=self.certs)
        self.expect(10, "nobody_listens", found)

    def test_who_listens_does_not_speak_tls(self):
        self.expect(11, "no_tls", self.check(self._serve(b"HTTP/1.0 400 Bad Request\r\n\r\n"), certs=self.certs))
        self.expect(11, "closed", self.check(self._serve(b""), certs=self.certs))

    def _serve(self, answer):
        """The address of a server that answers so to one connection."""
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)

        def serve():
            connection, _ = listener.accept()
            connection.recv(4096)
            connection.sendall(answer)
            connection.close()

        thread = threading.Thread(target=serve)
        thread.start()
        self.addCleanup(thread.join)
        return "127.0.0.1:%d" % listener.getsockname()[1]

    def test_the_brokers_certificate_is_of_another_ca(self):
        other = os.path.join(self.folder, "other")
        self.good("certs", "init", other)
        self.expect(12, "wrong_ca", self.check(self.start_broker(), certs=other))

    def test_the_brokers_certificate_is_for_another_name(self):
        found = self.check(self.start_broker(), "--server-name", "lab7.example.org", certs=self.certs)
        self.expect(12, "name_mismatch", found)
        self.assertIn("DNS:localhost", found[1]["message"])

    def test_no_client_certificate(self):
        self.expect(13, "no_client_certificate", self.check(self.start_broker()))

    def test_the_clients_certificate_is_of_a_ca_that_the_broker_does_not_know(self):
        other = os.path.join(self.folder, "other")
        self.good("certs", "init", other)
        shutil.copy(self.certs + "/ca.pem", other + "/ca.pem")
        self.expect(13, "unknown_ca", self.check(self.start_broker(), certs=other))

    def test_the_clients_own_files(self):
        address = self.start_broker()
        os.chmod(self.certs + "/client.key", 0o644)
        self.expect(13, "own_files", self.check(address, certs=self.certs))
        shutil.copy(self.certs + "/server.key", self.certs + "/client.key")
        os.chmod(self.certs + "/client.key", 0o600)
        found = self.check(address, certs=self.certs)
        self.expect(13, "own_files", found)
        self.assertIn("does not belong", found[1]["message"])
        self.expect(13, "own_files", self.check(address, certs=self.folder))

    def test_the_clients_certificate_is_revoked(self):
        address = self.start_broker()
        self.good("certs", "revoke", self.certs, "--name", "client", "--reason", "laptop stolen")
        found = (0, {})
        while found[0] == 0:  # until the broker has looked
            found = self.check(address, certs=self.certs)
        self.expect(13, "revoked", found)
        self.assertIn("laptop stolen", found[1]["message"])


if __name__ == "__main__":
    unittest.main()
