import { describe, expect, it } from "vitest";
import { parseCommand } from "./flags.ts";
import { Refusal } from "./refusal.ts";

const required = ["-namespace", "default", "-id", "c1"];

describe("parseCommand", () => {
  it("accepts containerd's command lines", () => {
    const flags = {
      namespace: "k8s.io",
      id: "c1",
      address: "/a.sock",
      publishBinary: "/usr/bin/containerd",
      socket: "",
    };
    expect(
      parseCommand(
        "-namespace k8s.io -address /a.sock -publish-binary /usr/bin/containerd -id c1 -debug start".split(" "),
      ),
    ).toEqual({ kind: "start", flags: { ...flags, bundle: "", debug: true } });
    expect(
      parseCommand(
        "-namespace k8s.io -address /a.sock -publish-binary /usr/bin/containerd -id c1 -bundle /b delete".split(" "),
      ),
    ).toEqual({ kind: "delete", flags: { ...flags, bundle: "/b", debug: false } });
  });

  it.each([
    [["start", "-namespace=default", "--id=c1"]],
    [["--namespace", "default", "start", "--id", "c1"]],
    [["-id=c1", "-debug=false", "-namespace", "default", "start"]],
  ])("accepts any order, one or two dashes, and an equals sign or none: %j", (argumentList) => {
    expect(parseCommand(argumentList)).toMatchObject({
      kind: "start",
      flags: { namespace: "default", id: "c1", debug: false },
    });
  });

  it("keeps values that look like flags or hold an equals sign", () => {
    expect(parseCommand([...required, "-address=unix:///a=b"])).toMatchObject({ flags: { address: "unix:///a=b" } });
    expect(parseCommand([...required, "-address", "-odd"])).toMatchObject({ flags: { address: "-odd" } });
  });

  it("serves without an action, and -v and -info take precedence over anything else", () => {
    expect(parseCommand([...required, "-socket", "/s"])).toMatchObject({ kind: "serve", flags: { socket: "/s" } });
    expect(parseCommand(["-v"])).toEqual({ kind: "version" });
    expect(parseCommand(["-info", "-namespace", "x"])).toEqual({ kind: "info" });
  });

  it.each(["-h", "--help", "-help"])("has help by %s, whatever else is said", (flag) => {
    expect(parseCommand([flag])).toEqual({ kind: "help" });
    expect(parseCommand(["-v", "start", flag])).toEqual({ kind: "help" });
  });

  it("does not serve when nothing is said", () => {
    expect(parseCommand([])).toEqual({ kind: "nothing" });
  });

  it.each([
    [["-nonsense", "start"], /unknown flag -nonsense/],
    [["-namespace"], /flag -namespace needs a value/],
    [["-debug=perhaps", ...required], /invalid value "perhaps" for flag -debug: expected true or false/],
    [["-id", "c1", "start"], /flag -namespace is missing/],
    [["-namespace", "ns", "start"], /flag -id is missing/],
    [["-namespace", "../etc", "-id", "c1", "start"], /flag -namespace is "..\/etc", expected up to/],
    [["-namespace", "ns", "-id", "a/b", "start"], /flag -id is "a\/b"/],
    [[...required, "stop"], /unknown action stop/],
    [[...required, "-drain", "start"], /flag -drain belongs to the action sandboxer/],
    [[...required, "-state", "/s", "delete"], /flag -state belongs to the action sandboxer/],
    [["-id", "c1", "sandboxer"], /flag -id belongs to the actions of one pod, not to sandboxer/],
    [[...required, "start", "delete"], /actions start delete: expected one of start, delete, sandboxer/],
  ])("refuses %j with a one-line message", (argumentList, message) => {
    expect(() => parseCommand(argumentList)).toThrow(message);
    expect(() => parseCommand(argumentList)).toThrow(Refusal);
  });

  it("takes the flags of a sandboxer, which has no pod of its own", () => {
    const none = { configuration: undefined, address: undefined, socket: undefined, state: undefined };
    expect(parseCommand(["sandboxer"])).toEqual({
      kind: "sandboxer",
      flags: { ...none, drain: undefined, logFile: undefined, service: false, debug: false },
    });
    const texts = ["-config=/c", "-address", "/a", "-socket", "/s", "-state", "/f", "-log-file", "/l"];
    expect(parseCommand([...texts, "-drain", "-service", "-debug", "sandboxer"])).toEqual({
      kind: "sandboxer",
      flags: {
        ...{ configuration: "/c", address: "/a", socket: "/s", state: "/f", logFile: "/l" },
        ...{ drain: true, service: true, debug: true },
      },
    });
  });

  it("remembers what it does not know, and what it does", () => {
    expect(() => parseCommand([...required, "--sokcet=/s"])).toThrow(
      expect.objectContaining({ kind: "flag", given: "-sokcet", accepted: expect.arrayContaining(["-socket", "-h"]) }),
    );
    expect(() => parseCommand([...required, "strat"])).toThrow(
      expect.objectContaining({ kind: "action", given: "strat", accepted: ["start", "delete", "sandboxer"] }),
    );
  });
});
