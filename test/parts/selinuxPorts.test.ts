import { describe, expect, test } from "vitest";
import { selinuxPorts } from "../../components/parts/selinuxPorts/selinuxPorts.ts";
import { partOf } from "../support/partOf.ts";

describe("SELinux ports", () => {
  test("are a part with one port per line, which may install what is missing", async () => {
    expect(await partOf(() => selinuxPorts({ ports: ["2222", "@web@"] }))).toEqual({
      script: "selinuxPorts",
      values: { PORTS: "2222\n@web@", INSTALL_PACKAGE: "yes" },
    });
  });

  test("install nothing if that is not allowed", async () => {
    const { values } = await partOf(() => selinuxPorts({ ports: ["2222"], installPackages: false }));
    expect(values).toEqual({ PORTS: "2222", INSTALL_PACKAGE: "no" });
  });
});
