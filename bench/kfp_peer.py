"""The peer of `ctc compile`: a script that compiles one comparable pipeline with the kfp SDK."""

import sys

from kfp import compiler, dsl


@dsl.container_component
def step(name: str, go: dsl.OutputPath(bool), data: dsl.Output[dsl.Dataset]):  # type: ignore[valid-type,no-untyped-def]
    return dsl.ContainerSpec(image="python:3.11", command=["python3", "-m", "step"], args=[name, go, data.path])


@dsl.pipeline(name="peer")
def peer(instant: str) -> None:
    last = step(name="record")
    with dsl.ExitHandler(last):
        snapshot = step(name="snapshot")
        validate = step(name=instant).after(snapshot)
        with dsl.If(validate.outputs["go"] == True):  # noqa: E712  (the SDK overloads the operator)
            train = step(name="train")
            contender = step(name="predict-contender").after(train)
            champion = step(name="predict-champion").after(train)
            evaluate = step(name="evaluate").after(contender, champion)
            decide = step(name="decide").after(evaluate)
            with dsl.If(decide.outputs["go"] == True):  # noqa: E712
                step(name="register")


compiler.Compiler().compile(peer, sys.argv[1])
