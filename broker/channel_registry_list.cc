// The registry's lists: of channels and of sessions, in pages.
#include <algorithm>

#include "absl/strings/match.h"
#include "broker/channel_registry.h"

namespace pylabhub::broker {
namespace {

// Channels and consumers, so that a page is copied in a short time.
constexpr size_t kMaxItemsPerSessionPage = 5'000;
// Wanted or not.
constexpr size_t kMaxChannelsPerPage = 2'000;

}  // namespace

ChannelPage ChannelRegistry::List(const ListQuery& query, absl::Time now) {
  Expire(now);
  const auto& records = table_.records();
  ChannelPage page;
  size_t looked_at = 0;
  auto next = query.after_name < query.name_prefix ? records.lower_bound(query.name_prefix)
                                                   : records.upper_bound(query.after_name);
  for (; next != records.end() && absl::StartsWith(next->first, query.name_prefix); ++next) {
    page.has_more = looked_at == kMaxChannelsPerPage;
    if (page.has_more) break;
    ++looked_at;
    const bool wanted = query.states.empty() || std::find(query.states.begin(), query.states.end(),
                                                          next->second.state) != query.states.end();
    if (wanted && (!query.may_see || query.may_see(next->first))) {
      page.has_more = page.channels.size() == query.page_size;
      if (page.has_more) break;
      page.channels.push_back(ViewOf(next->second));
    }
    page.last_name = next->first;
  }
  return page;
}

SessionPage ChannelRegistry::ListSessions(const SessionQuery& query, absl::Time now) {
  Expire(now);
  SessionPage page;
  size_t items = 0;
  const auto& sessions = sessions_.by_number();
  for (auto next = sessions.upper_bound(query.after_number); next != sessions.end(); ++next) {
    const Session& session = *next->second;
    if (!query.identity.empty() && session.identity != query.identity) continue;
    page.has_more = page.sessions.size() == query.page_size || items > kMaxItemsPerSessionPage;
    if (page.has_more) break;
    page.sessions.push_back(ViewOf(session));
    items += session.channels.size() + session.consumers.size();
  }
  return page;
}

SessionView ChannelRegistry::ViewOf(const Session& session) {
  SessionView view = {.number = session.number,
                      .id = session.id,
                      .identity = session.identity,
                      .peer_address = session.peer_address,
                      .create_time = session.create_time,
                      .renew_time = session.renew_time,
                      .lease_expire_time = session.lease_expire_time,
                      .channel_names = {session.channels.begin(), session.channels.end()}};
  for (const auto& [channel_name, consumer_id] : session.consumers) {
    const Record& record = *table_.Find(channel_name);
    view.consumers.push_back(record.consumers.at({session.id, consumer_id}));
  }
  return view;
}

}  // namespace pylabhub::broker
