import pytest

from imagen_fast.training.display import Bar, Lines, choose_display

ROW = {"step": 1200.0, "loss": 0.02345, "lr": 1e-3, "psnr": 30.125, "seconds": 60.0}


@pytest.mark.parametrize("kind", [Lines, Bar])
def test_a_row_is_told_with_the_time_to_go(kind, capsys):
    with kind() as display:
        display.advance(0.25)
        display.row(ROW, 0.25, 3 * 3600 + 125)
    told = capsys.readouterr().err
    assert "step 1200  loss 0.02345  psnr 30.12" in told
    assert "3:02:05 to go" in told
    assert "25" in told


def test_what_is_to_be_quiet_says_nothing(capsys):
    with choose_display(quiet=True) as display:
        display.row(ROW, 0.25, 10)
        display.say("something")
    assert capsys.readouterr().err == ""
