// What the construct makes of the template, as the CDK synthesizes it.
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";

import { App, Stack, aws_sns_subscriptions as subscriptions, aws_sqs as sqs } from "aws-cdk-lib";
import { Template } from "aws-cdk-lib/assertions";

import { EventStore } from "../lib/index.js";

const template = readFileSync(new URL("../../template.yaml", import.meta.url), "utf8");
const folder = mkdtempSync(join(tmpdir(), "ees-cdk-"));
const code = join(folder, "ees-lambda-arm64.zip");
writeFileSync(code, "not read by the CDK");
after(() => rmSync(folder, { recursive: true }));

/** The logical ids in a section of the template. */
function idsOf(section) {
  const [, rest] = template.split(`\n${section}:\n`);
  const [body] = rest.split(/\n(?=[A-Z])/);
  return [...body.matchAll(/^ {2}(\w+):/gm)].map(([, id]) => id).sort();
}

function synthesized(parameters, also = () => {}) {
  const stack = new Stack(new App({ outdir: join(folder, "cdk.out") }), "ees");
  also(new EventStore(stack, "EventStore", { code, parameters }), stack);
  return Template.fromStack(stack).toJSON();
}

test("the stack is that of the template, under the same logical ids", () => {
  const made = synthesized();
  assert.deepEqual(Object.keys(made.Resources).sort(), idsOf("Resources"));
  assert.deepEqual(Object.keys(made.Outputs).sort(), idsOf("Outputs"));
  for (const id of idsOf("Parameters")) {
    assert.ok(made.Parameters[id], id);
  }
  assert.deepEqual(Object.keys(made.Rules).filter((id) => id !== "CheckBootstrapVersion").sort(), idsOf("Rules"));
  assert.equal(made.Transform, "AWS::Serverless-2016-10-31");
  assert.deepEqual(made.Globals.Function.Runtime, "provided.al2023");
  assert.equal(made.Resources.Table.DeletionPolicy, "Retain");
});

test("every function runs the binary that it was given", () => {
  const functions = Object.values(synthesized().Resources).filter(({ Type }) => Type === "AWS::Serverless::Function");
  assert.ok(functions.length >= 4);
  for (const { Properties } of functions) {
    assert.match(Properties.CodeUri.Key, /^[0-9a-f]{64}\.zip$/);
    assert.ok(Properties.CodeUri.Bucket);
  }
});

test("a parameter takes the place of the template's, and an unknown one is refused", () => {
  const made = synthesized({ Architecture: "x86_64", MemorySize: 1024 });
  assert.deepEqual(made.Globals.Function.Architectures, ["x86_64"]);
  assert.equal(made.Parameters.Architecture, undefined);
  assert.throws(() => synthesized({ Memory: 1024 }), /Memory/);
});

test("a queue of one's own subscribes to a topic", () => {
  const made = synthesized({}, (store, stack) => {
    const queue = new sqs.Queue(stack, "Mine", { fifo: true });
    store.changesetsTopic.addSubscription(new subscriptions.SqsSubscription(queue));
  });
  const subscribed = Object.values(made.Resources).filter(({ Type }) => Type === "AWS::SNS::Subscription");
  assert.ok(subscribed.some(({ Properties }) => Properties.TopicArn.Ref === "ChangesetsTopic"));
});
