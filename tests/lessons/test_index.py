"""All ten lessons are there, with a quiz each, and the index leads to them."""

from website.lessons import LESSONS, find_lessons

from headstart.quiz import list_quizzes


def test_the_index_leads_to_ten_lessons_and_each_has_a_quiz() -> None:
    lessons = find_lessons()
    assert [one.number for one in lessons] == list(range(1, 11))
    index = (LESSONS / "README.md").read_text(encoding="utf-8")
    for lesson, quiz in zip(lessons, list_quizzes(), strict=True):
        assert quiz.slug == lesson.slug
        assert f"| {lesson.number} | [{quiz.title}]({lesson.path.name}) |" in index
