/** One kind of fault: how far it reaches, how long it lasts, and how soon all must be well again. */
export interface FaultKind {
  /** In words, for the progress lines and the table at the end. */
  says: string;
  /** What may fail meanwhile. All else must carry on, without an error and without a byte lost. */
  disturbs: "nothing" | "one forward" | "one tunnel" | "every tunnel";
  /** Whether the tunnels that it disturbs start anew. */
  restarts: "always" | "maybe" | "never";
  /** Seconds that it lasts, from and to; none: it is over at once. */
  lasts?: [number, number];
  /** Seconds that a host takes on top, to boot. */
  boots?: number;
  /**
   * The bound: seconds from the fault's end until each forward that it disturbs works again. What ssh or sshd notices
   * by itself, or is told: 10. Where that takes longer by design, the reason is beside it.
   */
  backWithin: number;
  /** In every how many rounds it is, where not in each. */
  rounds?: number;
}

/** Every kind of fault. One round of the plan has each of them once, in any order. */
const KINDS = {
  "cut link": {
    says: "silent link cut of an internal host",
    disturbs: "one tunnel",
    restarts: "maybe",
    lasts: [5, 40],
    backWithin: 10,
  },
  "forgotten flow": {
    says: "link cut during which the NAT forgets the flow",
    disturbs: "one tunnel",
    restarts: "always",
    lasts: [5, 40],
    // At worst ssh has all of its 9 s of keep-alives still before it.
    backWithin: 15,
  },
  "power cut": {
    says: "power cut and boot of an internal host",
    disturbs: "one tunnel",
    restarts: "always",
    lasts: [1, 8],
    boots: 4,
    backWithin: 10,
  },
  "gate reboot": {
    says: "reboot of the public host",
    disturbs: "every tunnel",
    restarts: "always",
    boots: 6,
    backWithin: 10,
    rounds: 3,
  },
  "killed client": {
    says: "kill -9 of a tunnel's ssh client",
    disturbs: "one tunnel",
    restarts: "always",
    backWithin: 10,
  },
  "killed session": {
    says: "kill -9 of the sshd session of a tunnel",
    disturbs: "one tunnel",
    restarts: "always",
    backWithin: 10,
  },
  "killed listener": {
    says: "kill -9 of sshd's listener process",
    disturbs: "nothing",
    restarts: "never",
    backWithin: 10,
  },
  "new address": {
    says: "address change of an internal host",
    disturbs: "one tunnel",
    restarts: "always",
    // The kernel tells; keep-alives alone would take 9 s and more.
    backWithin: 5,
  },
  "target down": {
    says: "target of a forward down and up again",
    disturbs: "one forward",
    restarts: "never",
    // In most of them the watchdog comes by, which must leave the tunnel alone.
    lasts: [5, 20],
    backWithin: 3,
  },
  "cancelled forward": {
    says: "ssh -O cancel of a forward, whose listener goes",
    disturbs: "one tunnel",
    restarts: "always",
    // The watchdog looks every 15 s, and its timer is exact to one; then a check, a start, a login: 18 at worst on an
    // idle machine.
    backWithin: 22,
  },
} as const satisfies Record<string, FaultKind>;

export type KindName = keyof typeof KINDS;

export const kindNames = Object.keys(KINDS) as KindName[];

export const kindOf = (name: KindName): FaultKind => KINDS[name];
