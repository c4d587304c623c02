/** One kind of fault: how far it reaches, how long it lasts, and how soon everything must work again. */
export interface FaultKind {
  /** In words, for the progress lines and the table at the end. */
  says: string;
  /** What may fail in the meantime. Everything else must continue, without an error or a lost byte. */
  disturbs: "nothing" | "one forward" | "one tunnel" | "every tunnel";
  /** Whether the tunnels that it affects restart. */
  restarts: "always" | "maybe" | "never";
  /** Its duration in seconds, from and to; none: it is over at once. */
  lasts?: [number, number];
  /** Seconds that a host needs in addition, to boot. */
  boots?: number;
  /**
   * The bound: seconds from the fault's end until each forward that it affects works again. 10 if ssh or sshd notices
   * by itself or is notified. If it takes longer by design, the reason is next to it.
   */
  backWithin: number;
  /** How many rounds it takes for it to occur once, if not in each. */
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
    // In the worst case, all 9 s of ssh's keep-alives are still to come.
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
    // The kernel reports it; keep-alives alone would take 9 s or more.
    backWithin: 5,
  },
  "target down": {
    says: "target of a forward down and up again",
    disturbs: "one forward",
    restarts: "never",
    // In most of them the watchdog runs, and must leave the tunnel alone.
    lasts: [5, 20],
    backWithin: 3,
  },
  "cancelled forward": {
    says: "ssh -O cancel of a forward, whose listener goes",
    disturbs: "one forward",
    restarts: "never",
    // The watchdog runs every 15 s, and its timer is accurate to one; then it asks for it again.
    backWithin: 22,
  },
} as const satisfies Record<string, FaultKind>;

export type KindName = keyof typeof KINDS;

export const kindNames = Object.keys(KINDS) as KindName[];

export const kindOf = (name: KindName): FaultKind => KINDS[name];
