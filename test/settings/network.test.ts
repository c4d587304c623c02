import { describe, expect, test } from "vitest";
import { parseNetwork } from "../../components/settings/network.ts";

const noNetwork = "must be a network, '203.0.113.0/24' or '2001:db8::/32', or one address";

describe("a network", () => {
  test.each([
    ["203.0.113.0/24", "203.0.113.0/24", "ipv4"],
    ["10.0.0.0/7", "10.0.0.0/7", "ipv4"],
    ["203.0.113.7", "203.0.113.7", "ipv4"],
    ["203.0.113.7/32", "203.0.113.7", "ipv4"],
    ["2001:db8::/32", "2001:db8::/32", "ipv6"],
    ["2001:0DB8:0:0::/32", "2001:db8::/32", "ipv6"],
    ["2001:db8:0:8000::/49", "2001:db8:0:8000::/49", "ipv6"],
    ["2001:db8::7/128", "2001:db8::7", "ipv6"],
    ["fe80::/10", "fe80::/10", "ipv6"],
    ["1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8", "ipv6"],
    ["2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1", "ipv6"],
  ])("%s is normalized to %s", (text, known, family) => {
    expect(parseNetwork(text)).toEqual({ text: known, family });
  });

  test.each([
    ["203.0.113.7/24", "203.0.113.0/24"],
    ["10.0.0.1/31", "10.0.0.0/31"],
    ["12.0.0.0/5", "8.0.0.0/5"],
    ["2001:db8::1/32", "2001:db8::/32"],
    ["2001:db8:0:c000::/49", "2001:db8:0:8000::/49"],
  ])("%s has host bits, and the error suggests %s", (text, meant) => {
    expect(parseNetwork(text)).toEqual({ mistake: `must be a network without host bits: ${meant}` });
  });

  test.each([
    ...["", "all", "example.org", "203.0.113.0/33", "203.0.113/24", "203.0.113.0/", "203.0.113.0/24/8"],
    ...["203.0.113.0/-1", "203.0.113.0/255.255.255.0", " 203.0.113.0/24", "203.0.113.0/24\n", "/24"],
    ...["2001:db8::/129", "[2001:db8::]/32", "fe80::1%eth0", "fe80::%eth0/64", "::ffff:192.0.2.1", "1::2::3"],
  ])("is not accepted as %j", (text) => {
    expect(parseNetwork(text)).toEqual({ mistake: noNetwork });
  });

  test.each(["0.0.0.0/0", "::/0"])("cannot cover every address, as %s does", (text) => {
    expect(parseNetwork(text)).toEqual({
      mistake: "must not cover every address: leave `sources` out to admit everyone",
    });
  });

  test.each(["::1", "::ffff:0:0/96", "::/3"])("cannot be one that no packet comes from: %s", (text) => {
    expect(parseNetwork(text)).toEqual({
      mistake: "must be a network that packets can come from: addresses that begin with '::' are not sent",
    });
  });
});
