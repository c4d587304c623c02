import { expect, test } from "vitest";
import { tunnelStop } from "../../components/parts/tunnelStop/tunnelStop.ts";

test("a tunnel that is disabled is stopped by the names of its units and of its watchdog's results", () => {
  expect(tunnelStop({ tunnel: "nas" })).toEqual({
    script: "tunnelStop",
    values: {
      SERVICE: "ssh-tunnel-nas",
      METRICS: "/run/ssh-tunnel-nas-watchdog/ssh-tunnel-nas.prom",
    },
  });
});
