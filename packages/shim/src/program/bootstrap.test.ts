import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { containerd, google } from "../generated/messages.js";
import { encodeReply, encodeRuntimeInfo, parseStartInput } from "./bootstrap.ts";
import { decodeFields, encodeFields, encodeTimestamp, numberField, textField } from "./protobuf-wire.ts";

const { BootstrapParams, BootstrapResult } = containerd.runtime.bootstrap.v1;
const expected = { id: "c1", namespace: "default" };
const options = { type_url: "containerd.runhcs.v1.Options", value: Uint8Array.of(8, 1) };

describe("parseStartInput", () => {
  it("reads an empty input as a start without options", () => {
    expect(parseStartInput(new Uint8Array(), expected)).toEqual({ dialect: "options" });
  });

  it("reads bare options, as containerd up to 2.2 writes them", () => {
    expect(parseStartInput(google.protobuf.Any.encode(options).finish(), expected)).toEqual({
      dialect: "options",
      runtimeOptions: { typeUrl: options.type_url, value: options.value },
    });
  });

  it("reads the parameters of 2.3 and later, with the options in an extension", () => {
    const input = BootstrapParams.encode({
      instanceId: "c1",
      namespace: "default",
      logLevel: -4,
      containerdVersion: "2.3.0",
      containerdTtrpcAddress: "/t.sock",
      containerdGrpcAddress: "/g.sock",
      extensions: [{ value: { type_url: "other.Config", value: Uint8Array.of(1) } }, { value: options }],
      socketDir: "/run/s",
    }).finish();
    expect(parseStartInput(input, expected)).toEqual({
      dialect: "bootstrap",
      runtimeOptions: { typeUrl: options.type_url, value: options.value },
      debug: true,
      ttrpcAddress: "/t.sock",
      grpcAddress: "/g.sock",
      socketDirectory: "/run/s",
    });
  });

  it("distinguishes the two by id and namespace, since each decodes as the other", () => {
    const forAnother = BootstrapParams.encode({ instanceId: "c2", namespace: "default" }).finish();
    expect(parseStartInput(forAnother, expected)).toMatchObject({ dialect: "options" });
    const unlogged = BootstrapParams.encode({ instanceId: "c1", namespace: "default" }).finish();
    expect(parseStartInput(unlogged, expected)).toMatchObject({
      dialect: "bootstrap",
      debug: false,
      socketDirectory: "",
    });
  });

  it("rejects any other input, with its own error only", () => {
    expect(() => parseStartInput(Uint8Array.of(0xff, 0xff), expected)).toThrow(
      /start: standard input \(2 bytes\) is neither runtime options nor/,
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        try {
          parseStartInput(bytes, expected);
        } catch (error) {
          expect(error).toMatchObject({ code: "InvalidArgument" });
        }
      }),
    );
  });
});

describe("encodeReply", () => {
  const address = "unix:///run/containerd/s/x";

  it("writes each dialect", () => {
    expect(encodeReply({ kind: "address" }, address).toString()).toBe(address);
    expect(JSON.parse(encodeReply({ kind: "json", version: 2 }, address).toString())).toEqual({
      version: 2,
      address,
      protocol: "ttrpc",
    });
    expect(JSON.parse(encodeReply({ kind: "json", version: 3 }, address).toString())).toMatchObject({ version: 3 });
    expect(BootstrapResult.decode(encodeReply({ kind: "protobuf" }, address))).toMatchObject({
      version: 3,
      address,
      protocol: "ttrpc",
    });
  });
});

describe("the hand-written encoding of short-lived actions", () => {
  it("is readable by the generated classes", () => {
    const version = { version: "1.0.0", revision: "abc" };
    const information = containerd.types.RuntimeInfo.decode(encodeRuntimeInfo("io.containerd.lcow.v2", version));
    expect(information).toMatchObject({ name: "io.containerd.lcow.v2", version });
    expect(information.features).toBeNull();
    const features = { ociVersionMin: "1.0.0", mountOptions: ["rro"] };
    const more = containerd.types.RuntimeInfo.decode(encodeRuntimeInfo("io.containerd.lcow.v2", version, features));
    expect(more.features?.type_url).toBe("types.containerd.io/opencontainers/runtime-spec/1/features/Features");
    expect(JSON.parse(Buffer.from(more.features?.value ?? []).toString())).toEqual(features);
    const date = new Date("2026-02-03T04:05:06.789Z");
    expect(google.protobuf.Timestamp.decode(encodeTimestamp(date))).toMatchObject({
      seconds: Math.floor(date.getTime() / 1000),
      nanos: 789_000_000,
    });
  });

  it("round-trips", () => {
    fc.assert(
      fc.property(fc.string(), fc.nat(), fc.integer(), (text, natural, integer) => {
        const fields = decodeFields(
          encodeFields([
            [1, text],
            [2, natural],
            [3, integer],
          ]),
        );
        expect([textField(fields, 1), numberField(fields, 2), numberField(fields, 3)]).toEqual([
          Buffer.from(text).toString(),
          natural,
          integer,
        ]);
      }),
    );
  });
});
