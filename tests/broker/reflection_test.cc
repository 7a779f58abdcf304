// What grpcurl and its like find when they ask the broker what it is. The library keeps the messages of
// reflection to itself, so they are written and read as bytes here.

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/support/byte_buffer.h>

#include "tests/broker/wire_fixture.h"

namespace pylabhub::broker {
namespace {

using ::testing::HasSubstr;

class ReflectionTest : public WireTest {
 protected:
  // The answer to one ServerReflectionRequest whose only field is `field_number`, a string.
  static std::string Ask(int field_number, const std::string& value) {
    const auto channel = testing::ConnectWith(broker_->target(), authority_->Client("alice"));
    grpc::GenericStub stub(channel);
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    grpc::CompletionQueue queue;
    const std::string method = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";
    const auto stream = stub.PrepareCall(&context, method, &queue);
    const auto wait = [&] {
      void* tag = nullptr;
      bool ok = false;
      return queue.Next(&tag, &ok) && ok;
    };
    stream->StartCall(nullptr);
    EXPECT_TRUE(wait());
    const std::string bytes =
        std::string({static_cast<char>(field_number << 3 | 2), static_cast<char>(value.size())}) + value;
    const grpc::Slice slice(bytes);
    stream->Write(grpc::ByteBuffer(&slice, 1), nullptr);
    EXPECT_TRUE(wait());
    grpc::ByteBuffer answer;
    stream->Read(&answer, nullptr);
    EXPECT_TRUE(wait());
    grpc::Slice whole;
    EXPECT_TRUE(answer.DumpToSingleSlice(&whole).ok());
    context.TryCancel();
    queue.Shutdown();
    return std::string(reinterpret_cast<const char*>(whole.begin()), whole.size());
  }
  static std::string ListServices() { return Ask(7, ""); }
  static std::string FileContaining(const std::string& symbol) { return Ask(4, symbol); }
};

TEST_F(ReflectionTest, EveryServiceIsListed) {
  const std::string answer = ListServices();
  for (const char* service : {"pylabhub.v1.Broker", "pylabhub.v1.SchemaRegistry", "pylabhub.v1.Admin",
                              "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}) {
    EXPECT_THAT(answer, HasSubstr(service));
  }
}

TEST_F(ReflectionTest, MessagesAreDescribedThoseOfHealthAndErrorsToo) {
  EXPECT_THAT(FileContaining("pylabhub.v1.RegisterRequest"), HasSubstr("schema_hash"));
  EXPECT_THAT(FileContaining("grpc.health.v1.Health"), HasSubstr("HealthCheckRequest"));
  EXPECT_THAT(FileContaining("google.rpc.ErrorInfo"), HasSubstr("metadata"));
  EXPECT_THAT(FileContaining("pylabhub.v1.NoSuchMessage"), ::testing::Not(HasSubstr("descriptor")));
}

}  // namespace
}  // namespace pylabhub::broker
