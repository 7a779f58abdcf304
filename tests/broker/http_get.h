// One HTTP request, for tests that fetch metrics.
#ifndef PYLABHUB_TESTS_BROKER_HTTP_GET_H_
#define PYLABHUB_TESTS_BROKER_HTTP_GET_H_

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

namespace pylabhub::testing {

// Everything that "127.0.0.1:PORT" answers, headers included; empty if nobody answers.
inline std::string HttpGet(const std::string& target, const std::string& path) {
  const int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(std::atoi(target.substr(target.rfind(':') + 1).c_str())));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  std::string answer;
  if (connect(client, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0) {
    const std::string request =
        "GET " + path + " HTTP/1.1\r\nHost: " + target + "\r\nConnection: close\r\n\r\n";
    send(client, request.data(), request.size(), MSG_NOSIGNAL);
    char buffer[4096];
    for (ssize_t bytes = 0; (bytes = recv(client, buffer, sizeof(buffer), 0)) > 0;) {
      answer.append(buffer, static_cast<size_t>(bytes));
    }
  }
  close(client);
  return answer;
}

}  // namespace pylabhub::testing

#endif  // PYLABHUB_TESTS_BROKER_HTTP_GET_H_
