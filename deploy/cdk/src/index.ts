import * as path from "node:path";

import { Token, aws_dynamodb as dynamodb, aws_sns as sns } from "aws-cdk-lib";
import { CfnInclude } from "aws-cdk-lib/cloudformation-include";
import { Asset } from "aws-cdk-lib/aws-s3-assets";
import { Construct } from "constructs";

/** The logical ids of the functions in the template. */
const functions = ["ApiFunction", "IndexerFunction", "PublisherFunction", "ProjectorFunction"];

export interface EventStoreProps {
  /**
   * The path of the zip with the functions' binary: `just lambda-zip` makes it, for the `Architecture` among the
   * parameters.
   */
  readonly code: string;

  /**
   * Parameters of the template, by name: strings and numbers, or tokens. One that the template does not have is an
   * error. Default: those of the template.
   */
  readonly parameters?: { readonly [name: string]: string | number };
}

/**
 * The event store in DynamoDB, its HTTP API, its topics and its statistics: the resources of `deploy/template.yaml`,
 * under the same logical ids. So a stack that `sam deploy` made can be updated by the CDK, and the reverse.
 *
 * A CDK stack holds one of them: the names of functions and topics begin with the stack's name.
 */
export class EventStore extends Construct {
  /** Where the API answers. `ees --url` takes it. */
  readonly apiEndpoint: string;
  /** The table of the log. */
  readonly table: dynamodb.ITable;
  /** The table of the read models. */
  readonly readModels: dynamodb.ITable;
  /** Gets a message for each changeset. FIFO. */
  readonly changesetsTopic: sns.ITopic;
  /** Gets a message for each event. FIFO. */
  readonly eventsTopic: sns.ITopic;
  /** Gets a notification for each changeset of a typed stream. */
  readonly notificationsTopic: sns.ITopic;
  /** The URL of the queue with what could not be published. `ees dead-letters --queue` takes it. */
  readonly deadLettersUrl: string;
  /** The template, for what has no property here: `getResource("Table")`. */
  readonly template: CfnInclude;

  constructor(scope: Construct, id: string, props: EventStoreProps) {
    super(scope, id);
    const code = new Asset(this, "Code", { path: props.code });
    this.template = new CfnInclude(this, "Template", {
      templateFile: path.join(__dirname, "..", "template.yaml"),
      parameters: { ...props.parameters },
      // The CDK's types of the serverless transform refuse properties that the transform takes.
      dehydratedResources: functions,
    });
    for (const name of functions) {
      const uri = { Bucket: code.s3BucketName, Key: code.s3ObjectKey };
      const made = this.template.getResource(name);
      made.addPropertyOverride("CodeUri", uri);
      made.overrideLogicalId(name);
    }
    const output = (name: string): string => Token.asString(this.template.getOutput(name).value);
    const topic = (name: string): sns.ITopic => sns.Topic.fromTopicArn(this, name, output(name));
    this.apiEndpoint = output("ApiEndpoint");
    this.table = dynamodb.Table.fromTableName(this, "Table", output("Table"));
    this.readModels = dynamodb.Table.fromTableName(this, "ReadModels", output("ReadModels"));
    this.changesetsTopic = topic("ChangesetsTopic");
    this.eventsTopic = topic("EventsTopic");
    this.notificationsTopic = topic("NotificationsTopic");
    this.deadLettersUrl = output("DeadLetters");
  }
}
