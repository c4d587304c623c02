import { createHash } from "node:crypto";
import { type AddressInfo, type Server, createServer } from "node:net";
import fc from "fast-check";
import { afterEach, describe, expect, test } from "vitest";
import { isWhole, leaks } from "./lab/support/soak/census.ts";
import { BANNER, Connection } from "./lab/support/soak/connection.ts";
import { downTime, summary } from "./lab/support/soak/downTime.ts";
import { type Seen, type Sight, judge } from "./lab/support/soak/judge.ts";
import { type KindName, kindNames, kindOf } from "./lab/support/soak/kinds.ts";
import { type Fault, PROOF_SECONDS, planOf, slotOf } from "./lab/support/soak/plan.ts";

// The parts of test/lab/soak.test.ts that need no host: the plan of faults, the down times, the verdicts.

const plan = (seed: number, seconds: number) =>
  planOf(seed, seconds, ["nas", "shop", "till"], ["ssh", "web"]);
const ROUND = 5 * 60 - PROOF_SECONDS;
const seeds = fc.integer({ min: 0, max: 2 ** 31 - 1 });

describe("the plan of faults", () => {
  test("is the same for the same seed, and differs for another seed", () => {
    expect(plan(7, 3600)).toEqual(plan(7, 3600));
    expect(plan(7, 3600)).not.toEqual(plan(8, 3600));
  });

  test("of an hour begins like that of five minutes", () => {
    fc.assert(
      fc.property(seeds, (seed) => {
        const short = plan(seed, ROUND);
        expect(plan(seed, 3600).slice(0, short.length)).toEqual(short);
      }),
      { numRuns: 50 },
    );
  });

  test("has every kind within five minutes, whatever the seed", () => {
    const longest = kindNames.map((kind) => slotOf({ kind, seconds: kindOf(kind).lasts?.[1] ?? 0 }));
    expect(longest.reduce((sum, seconds) => sum + seconds)).toBeLessThanOrEqual(ROUND);
    fc.assert(
      fc.property(seeds, (seed) => {
        expect(new Set(plan(seed, ROUND).map(({ kind }) => kind))).toEqual(new Set(kindNames));
      }),
    );
  });

  test("has a fault within the minute and a half of `make test`, whatever the seed", () => {
    fc.assert(
      fc.property(seeds, (seed) => {
        expect(plan(seed, 90 - PROOF_SECONDS)).not.toEqual([]);
      }),
    );
  });

  test("gives each fault time to heal within its bound before the next one, and keeps to its time", () => {
    const faults = plan(7, 3600);
    for (const [index, fault] of faults.entries()) {
      const next = faults[index + 1]?.at ?? 3600;
      expect(next - fault.at - fault.seconds).toBeGreaterThan(kindOf(fault.kind).backWithin);
      expect(next - fault.at).toBeGreaterThanOrEqual(slotOf(fault));
      const [from, to] = kindOf(fault.kind).lasts ?? [0, 0];
      expect(fault.seconds).toBeGreaterThanOrEqual(from);
      expect(fault.seconds).toBeLessThanOrEqual(to);
    }
  });

  test("reboots the public host, which affects all tunnels, less often than the other hosts", () => {
    const count = (kind: KindName) => plan(7, 3600).filter((fault) => fault.kind === kind).length;
    expect(count("gate reboot")).toBeGreaterThan(0);
    expect(count("gate reboot") * 2).toBeLessThan(count("killed client"));
  });
});

const fine = (started: number) => ({ started, ended: started + 0.1 });
const failed = (started: number) => ({ ...fine(started), error: "closed" });

describe("the down time after a fault's end", () => {
  test("is zero if nothing failed, or if every failure was before", () => {
    expect(downTime([fine(1), fine(2)], 1.5)).toBe(0);
    expect(downTime([failed(1), fine(2), fine(3)], 5)).toBe(0);
  });

  test("ends with the first success after the last failure, and not with one in between", () => {
    expect(downTime([failed(1), fine(2), failed(3), fine(4), fine(5)], 1.1)).toBeCloseTo(3);
  });

  test("is unlimited if nothing succeeds after the last failure", () => {
    expect(downTime([fine(1), failed(2)], 1)).toBeUndefined();
  });

  test("is summed up for each kind of fault with count, median, worst and bound", () => {
    expect(
      summary([
        { says: "cut", backWithin: 10, down: [1, 3] },
        { says: "cut", backWithin: 10, down: [2, undefined] },
        { says: "listener", backWithin: 10, down: [] },
      ]),
    ).toEqual([
      "fault     count  median  worst     bound",
      "cut       2      3.0 s   for good  10 s",
      "listener  1      –       –         10 s",
    ]);
  });
});

describe("the verdict on a fault", () => {
  const seen = (tunnel: string, forward: string, change: Partial<Seen> = {}): Seen => ({
    ...{ tunnel, forward, tries: [fine(1), fine(2)], breaks: [] },
    ...change,
  });
  const down = { tries: [fine(1), failed(2), fine(3)], breaks: ["closed"] };
  const fault = (kind: KindName): Fault => ({ at: 0, kind, host: "nas", forward: "ssh", seconds: 0 });
  /** A client of nas that was killed, and everything else as it should be. */
  const sight = (change: Partial<Sight> = {}): Sight => ({
    fault: fault("killed client"),
    ended: 1.5,
    forwards: [seen("nas", "ssh", down), seen("nas", "web", down), seen("shop", "ssh")],
    before: { nas: "1", shop: "2" },
    after: { nas: "3", shop: "2" },
    ...change,
  });
  const web = (change: Partial<Seen>) => [
    seen("nas", "ssh", down),
    seen("nas", "web", { ...down, ...change }),
  ];
  const shop = (change: Partial<Seen>) => [seen("nas", "ssh", down), seen("shop", "ssh", change)];

  test("is empty if its tunnel is back in time and the others continued", () => {
    expect(judge(sight())).toEqual([]);
  });

  test.each<[string, Partial<Sight>, string]>([
    [
      "a forward that is back too late",
      { forwards: web({ tries: [failed(2), fine(12)] }) },
      "back in time: forward web of nas was down for 10.6 s, more than 10 s",
    ],
    [
      "a forward that is not back",
      { forwards: web({ tries: [failed(2)] }) },
      "back in time: forward web of nas has not come back: closed",
    ],
    [
      "a short connection of another tunnel that fails",
      { forwards: shop({ tries: [fine(1), failed(2)] }) },
      "others carry on: forward ssh of shop: 1 failed, the first: closed",
    ],
    [
      "a long-lived connection of another tunnel that breaks",
      { forwards: shop({ breaks: ["ECONNRESET"] }) },
      "others carry on: forward ssh of shop: a long-lived connection broke: ECONNRESET",
    ],
    [
      "another tunnel that restarts",
      { after: { nas: "3", shop: "4" } },
      "others carry on: the tunnel shop was started anew",
    ],
    [
      "a tunnel that restarts because a target is down",
      { fault: fault("target down"), forwards: [seen("nas", "ssh", down)] },
      "others carry on: the tunnel nas was started anew",
    ],
    [
      "a failure of the tunnel's other forward if only one target is down",
      { fault: fault("target down"), forwards: web({ breaks: [] }), after: { nas: "1", shop: "2" } },
      "others carry on: forward web of nas: 1 failed, the first: closed",
    ],
    [
      "any failure if the fault affects nothing",
      { fault: fault("killed listener"), forwards: shop({}), after: { nas: "1", shop: "2" } },
      "others carry on: forward ssh of nas: 1 failed, the first: closed",
    ],
    [
      "a fault that had no effect",
      { forwards: [seen("nas", "ssh"), seen("shop", "ssh")] },
      "real fault: nothing failed",
    ],
    [
      "a tunnel that was killed but is still the same process",
      { after: { nas: "1", shop: "2" } },
      "real fault: the tunnel nas was not started anew",
    ],
  ])("reports %s", (_, change, sentence) => {
    expect(judge(sight(change)).map(({ claim, text }) => `${claim}: ${text}`)).toContain(sentence);
  });
});

describe("the census of a host", () => {
  const client = "tunnel-nas ssh -N -T -M -S /run/ssh-tunnel-nas/control";
  const nas = {
    clients: [client],
    sessions: [],
    connections: ["198.18.0.2:22"],
    listeners: ["0.0.0.0:22"],
    processes: ["root /sbin/init", client],
    logins: [],
    "failed units": [],
    volatile: ["/run/ssh-tunnel-nas", "/run/motd"],
    descriptors: [`9 ${client}`],
  };

  test("is complete with one client and its connection, and on the public host with both processes of each session", () => {
    expect(isWhole(nas, 0)).toBe(true);
    expect(isWhole({ ...nas, clients: [client, client] }, 0)).toBe(false);
    expect(isWhole({ ...nas, connections: [] }, 0)).toBe(false);
    const gate = { clients: [], sessions: ["a", "b", "c", "d"], connections: ["x", "x"] };
    expect(isWhole(gate, 2)).toBe(true);
    expect(isWhole(gate, 3)).toBe(false);
  });

  test("shows no leak if it is the same, or has less of what comes and goes", () => {
    expect(leaks(nas, { ...nas, volatile: ["/run/motd"], descriptors: [`8 ${client}`] })).toEqual([]);
  });

  test.each([
    ["a second client", { clients: [client, client] }, `clients: ${client} is too many`],
    ["no client", { clients: [] }, `clients: ${client} is missing`],
    ["a session", { sessions: ["root sshd"] }, "sessions: root sshd is too many"],
    ["no connection", { connections: [] }, "connections: 198.18.0.2:22 is missing"],
    [
      "a second connection",
      { connections: ["198.18.0.2:22", "198.18.0.2:22"] },
      "connections: 198.18.0.2:22 is too many",
    ],
    ["no listener", { listeners: [] }, "listeners: 0.0.0.0:22 is missing"],
    [
      "a process",
      { processes: [...nas.processes, "nobody sleep 600"] },
      "processes: nobody sleep 600 is too many",
    ],
    ["a login", { logins: ["tunnel-nas"] }, "logins: tunnel-nas is too many"],
    ["a failed unit", { "failed units": ["x.service"] }, "failed units: x.service is too many"],
    ["a file in /run", { volatile: ["/run/left"] }, "volatile: /run/left is too many"],
    [
      "an additional open file",
      { descriptors: [`10 ${client}`] },
      `${client} has 10 open files instead of 9`,
    ],
  ])("reports a leak with %s", (_, change, sentence) => {
    expect(leaks(nas, { ...nas, ...change })).toEqual([sentence]);
  });
});

describe("a connection through a forward", () => {
  let server: Server;
  afterEach(() => void server.close());

  /** Queries a target once; it gets the request and returns an answer, which may be wrong. */
  async function ask(answer: (request: Buffer) => Buffer, banner = BANNER): Promise<void> {
    server = createServer((socket) => {
      let request = Buffer.alloc(0);
      socket.write(banner);
      socket.on("data", (data) => {
        request = Buffer.concat([request, data]);
        if (request.length === SIZE + 8) socket.end(answer(request));
      });
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    const connection = await Connection.open("127.0.0.1", port, true, 1);
    await connection.request(SIZE, 1).finally(() => connection.close());
  }
  const SIZE = 1000;
  const digest = (bytes: Buffer) => createHash("sha256").update(bytes).digest();
  /** With one byte in the middle changed. */
  const flipped = (bytes: Buffer) => {
    const copy = Buffer.from(bytes);
    copy[500]! ^= 1;
    return copy;
  };

  test("accepts an answer with every byte and the digest of what arrived", async () => {
    await ask((request) => Buffer.concat([digest(request), request]));
  });

  test.each<[string, (request: Buffer) => Buffer, string]>([
    [
      "a byte that changed on the way there",
      (r) => Buffer.concat([digest(flipped(r)), flipped(r)]),
      "request 1 did not arrive as it was sent",
    ],
    [
      "a byte that changed on the way back",
      (r) => Buffer.concat([digest(r), flipped(r)]),
      "answer 1 is not what was sent",
    ],
    ["too many bytes", (r) => Buffer.concat([digest(r), r, r]), "answer 1 has bytes too many"],
    ["an answer that ends too early", (r) => digest(r), "closed by the other end"],
  ])("notices %s", async (_, answer, message) => {
    await expect(ask(answer)).rejects.toThrow(message);
  });

  test("notices a changed banner", async () => {
    await expect(ask((request) => request, "SSH-2.0-else\r\n")).rejects.toThrow("the banner is");
  });
});
