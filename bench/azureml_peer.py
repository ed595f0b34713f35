"""The peer of `ctc compile`: a script that writes one comparable pipeline job with azure-ai-ml, by its own Python."""

import sys

from azure.ai.ml import Output, command, dsl


def step(name: str, inputs: tuple[str, ...] = ()):  # type: ignore[no-untyped-def]
    places = " ".join(f"${{{{inputs.{name}}}}}" for name in inputs)
    return command(
        name=name,
        command=f"python3 -m step {places} ${{{{outputs.out}}}}",
        environment="azureml:runtime:1",
        inputs={name: {"type": "uri_folder"} for name in inputs},
        outputs={"out": Output(type="uri_folder")},
        compute="cluster",
    )


SNAPSHOT, VALIDATE = step("snapshot"), step("validate", ("rows",))
TRAIN, PREDICT = step("train", ("rows", "verdict")), step("predict", ("rows", "model"))
EVALUATE, DECIDE = step("evaluate", ("contender", "champion")), step("decide", ("scores",))
REGISTER, RECORD = step("register", ("verdict", "model")), step("record", ("verdict",))


@dsl.pipeline(name="peer", default_compute="cluster")
def peer():  # type: ignore[no-untyped-def]
    snapshot = SNAPSHOT()
    validate = VALIDATE(rows=snapshot.outputs.out)
    train = TRAIN(rows=snapshot.outputs.out, verdict=validate.outputs.out)
    contender = PREDICT(rows=snapshot.outputs.out, model=train.outputs.out)
    champion = PREDICT(rows=snapshot.outputs.out, model=train.outputs.out)
    evaluate = EVALUATE(contender=contender.outputs.out, champion=champion.outputs.out)
    decide = DECIDE(scores=evaluate.outputs.out)
    REGISTER(verdict=decide.outputs.out, model=train.outputs.out)
    RECORD(verdict=decide.outputs.out)


peer().dump(sys.argv[1])
