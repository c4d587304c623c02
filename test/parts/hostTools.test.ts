import { expect, test } from "vitest";
import { HostTools, toolFiles } from "../../components/parts/hostTools/hostTools.ts";
import { partNames, programNames } from "../../components/remote/scriptFiles.ts";
import { nas } from "../support/hosts.ts";
import { record } from "../../tools/mocks.ts";

const files = toolFiles();

test("the tools are everything that commands run: library, parts and programs", () => {
  const names = Object.keys(toolFiles(false, true)).map((path) => path.split("/")[1]!.replace(/\.sh$/, ""));
  const before = ["hostFacts", "installTools"];
  const piecesOfPrograms = programNames.filter((name) => !names.includes(name));
  expect([...names, ...before, ...piecesOfPrograms].sort()).toEqual(
    ["library", ...partNames, ...programNames].sort(),
  );
  expect(piecesOfPrograms).toEqual(["banner", "listeners", "logins", "reasons", "state"]);
});

test("the tools of a host on which somebody looks for drift have what does that, and are the same otherwise", () => {
  const { "lib/drift.sh": drift, ...others } = toolFiles(true);
  expect(drift).toContain("look() {");
  expect(others).toEqual(files);
});

test("only the tools of a host that tells somebody have what does that", () => {
  const added = Object.keys(toolFiles(false, true)).filter((path) => !(path in files));
  expect(added).toEqual(["bin/notify", "parts/notify.sh"]);
});

test("the tools are named after their content, and are in the folder that the settings name", async () => {
  const tools = async (toolsDirectory?: string) => {
    const recording = await record(() => new HostTools("t", { host: { ...nas, toolsDirectory } }));
    return recording.command("t-script").values;
  };
  expect(await tools()).toMatchObject({
    TOOLS_FOLDER: "/opt/ssh-reverse-tunnel",
    HASH: expect.stringMatching(/^[0-9a-f]{64}$/) as string,
    UNTIL_LAST: "",
  });
  expect((await tools("/srv/tools")).TOOLS_FOLDER).toBe("/srv/tools");
});

test("the tools are removed by their own delete, or with the last record if nobody could connect after that", async () => {
  const recording = await record(() => {
    new HostTools("direct", { host: nas });
    new HostTools("through", { host: { ...nas, throughTunnel: "gate" } });
  });
  const { inputs, values } = recording.command("through-script");
  expect("delete" in recording.command("direct-script").inputs).toBe(true);
  expect("delete" in inputs).toBe(false);
  expect(values.UNTIL_LAST).toBe("yes");
});

test.each(["", "relative", "/with space", "/a/../b", "/end/", "/dollar$"])(
  "a folder for the tools that a shell or a unit would misread is refused: '%s'",
  async (toolsDirectory) => {
    const make = record(() => new HostTools("t", { host: { ...nas, toolsDirectory } }));
    await expect(make).rejects.toThrow("the absolute path of a folder");
  },
);
